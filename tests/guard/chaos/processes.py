"""Guard, database and client as processes of their own, each of which can be killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pymongo import MongoClient
from pymongo.errors import PyMongoError
from tests.conftest import PATIENCE_S

from blackstart.guard.guardroom import Places
from blackstart.guard.logins import Logins, Role
from blackstart.guard.requests import Request, State
from blackstart.process import free_port

PASSWORD = "correct horse battery"
DATABASE = "shop"
DOCUMENTS = 400
SECANTUS = Path(sys.executable).parent / "secantusd-py"
CLIENT = """
import sys
from pymongo import MongoClient
things = MongoClient(sys.argv[1])["shop"]["things"]
print(things.update_many({}, {"$inc": {"n": 1}}).modified_count)
"""
Process = subprocess.Popen[bytes]
T = TypeVar("T")


@dataclass
class Machines:
    """What runs, and where; whatever was killed can be started again in its place."""

    folder: Path
    database_port: int = field(default_factory=free_port)
    guard_port: int = field(default_factory=free_port)
    running: dict[str, Process] = field(default_factory=dict)

    @property
    def places(self) -> Places:
        return Places(self.folder / "guard")

    @property
    def behind(self) -> str:
        return f"mongodb://127.0.0.1:{self.database_port}/?directConnection=true"

    def door(self, login: str) -> str:
        return f"mongodb://{login}:{PASSWORD}@127.0.0.1:{self.guard_port}/?retryWrites=false"

    def start_database(self) -> None:
        at = ["--host", "127.0.0.1", "--port", str(self.database_port)]
        kept = ["--storage-path", str(self.folder / "data"), "--sync-on-commit"]
        self._start("database", [str(SECANTUS), *at, *kept, "--log-level", "ERROR"])
        self.wait_for(lambda: self._answers(self.behind))

    def start_guard(self) -> None:
        listen = ["--listen", f"127.0.0.1:{self.guard_port}", "--upstream", self.behind]
        where = ["--data", str(self.places.folder), "--wait", "10", "--http", "off"]
        self._start(
            "guard", [sys.executable, "-P", "-m", "blackstart.cli", "guard", *listen, *where]
        )
        self.wait_for(lambda: self._answers(self.door("bob")))

    def start_client(self) -> Process:
        return self._start("client", [sys.executable, "-P", "-c", CLIENT, self.door("ada")])

    def kill(self, name: str) -> None:
        """SIGKILL, and nothing of it is left."""
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def begin_anew(self) -> None:
        """Documents that can be counted up."""
        with MongoClient[dict[str, Any]](self.behind) as client:
            things = client[DATABASE]["things"]
            things.delete_many({})
            things.insert_many({"_id": number, "n": 0} for number in range(DOCUMENTS))

    def effects(self) -> set[int]:
        with MongoClient[dict[str, Any]](self.behind) as client:
            return {each["n"] for each in client[DATABASE]["things"].find()}

    def request(self, number: int) -> Request | None:
        """As it stands on the disk; None when there is none."""
        with suppress(FileNotFoundError):
            return Request.decode((self.places.requests / f"{number:08}.json").read_bytes())
        return None

    def known(self, number: int) -> Request:
        """One that must be there."""
        found = self.request(number)
        assert found is not None, f"request {number} is gone"
        return found

    def newest(self) -> int:
        """The number that was given last."""
        with suppress(FileNotFoundError):
            return int((self.places.requests / "last").read_text())
        return 0

    def say(self, login: str, word: str, number: int, **more: Any) -> dict[str, Any]:
        with MongoClient[dict[str, Any]](self.door(login)) as client:
            answer: dict[str, Any] = client.admin.command(word, number, **more)
            return answer

    def settled(self, number: int) -> tuple[State, set[int]]:
        """What a request says and what the documents say, while it is not being executed.

        A guard may take up a write after its client was killed: it has not noticed yet.
        """

        def seen() -> tuple[State, set[int]] | None:
            state, effects = self.known(number).state, self.effects()
            is_between = state is not State.EXECUTING and self.known(number).state is state
            return (state, effects) if is_between else None

        return self.wait_for(seen)

    def wait_for(self, happened: Callable[[], T | None]) -> T:
        """What another process has done, once it has; it cannot announce it."""
        ends = time.monotonic() + PATIENCE_S
        while not (found := happened()):
            assert time.monotonic() < ends, "it never happened"
            time.sleep(0.001)
        return found

    def _start(self, name: str, command: list[str]) -> Process:
        with (self.folder / f"{name}.log").open("ab") as log:
            kept = {key: each for key, each in os.environ.items() if key[:11] != "BLACKSTART_"}
            process = subprocess.Popen(command, stdout=log, stderr=log, env=kept, cwd=self.folder)
        self.running[name] = process
        return process

    def _answers(self, uri: str) -> bool:
        with (
            suppress(PyMongoError),
            MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=200) as client,
        ):
            client["admin"].command("ping")
            return True
        return False


@contextmanager
def machines(folder: Path) -> Iterator[Machines]:
    """Database and guard run; ada asks, and bob reviews."""
    made = Machines(folder)
    made.places.folder.mkdir(parents=True)
    logins = Logins(made.places.logins)
    logins.add("ada", PASSWORD)
    logins.add("bob", PASSWORD, roles=[Role.REVIEWER])
    try:
        made.start_database()
        made.start_guard()
        yield made
    finally:
        for name in list(made.running):
            made.kill(name)
