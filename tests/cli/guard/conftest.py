"""A guard as a process of its own before the embedded MongoDB, and people who come to it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from blackstart.guard.logins import Logins, Role

PASSWORD = "correct horse battery"
PATIENCE_S = 60
Client = MongoClient[dict[str, Any]]


@dataclass(frozen=True)
class Guard:
    """One that runs: where it is, its folder, and its process."""

    address: str
    folder: Path
    process: subprocess.Popen[str]

    def uri(self, login: str) -> str:
        return f"mongodb://{login}:{PASSWORD}@{self.address}/?retryWrites=false"


@contextmanager
def running_guard(folder: Path, mongodb_uri: str, *options: str) -> Iterator[Guard]:
    """`blackstart guard`, with the logins ada, who asks, and bob, who reviews."""
    logins = Logins(folder / "logins.json")
    logins.add("ada", PASSWORD)
    logins.add("bob", PASSWORD, roles=[Role.REVIEWER])
    kept = {key: value for key, value in os.environ.items() if not key.startswith("BLACKSTART_")}
    own = {"BLACKSTART_MONGODB_URI": mongodb_uri, "BLACKSTART_GUARD_DATA": str(folder)}
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "blackstart.cli", "guard", "--listen=127.0.0.1:0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=kept | own,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("guard listening on mongodb://"), line
            yield Guard(line.split("//")[1].strip().rstrip("/"), folder, process)
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def guard(mongodb_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guard]:
    """One for all tests: each has a collection, and requests, of its own."""
    folder = tmp_path_factory.mktemp("guard") / "guard"
    folder.mkdir()
    with running_guard(folder, mongodb_uri) as guard:
        yield guard


@dataclass
class People:
    """Ada, whose writes are held, and whoever speaks to the guard by the command line."""

    guard: Guard
    client: Client
    call: Callable[..., Any]
    monkeypatch: pytest.MonkeyPatch
    threads: ThreadPoolExecutor

    @property
    def deploys(self) -> Any:
        return self.client["test-guard-cli"]["deploys"]

    def says(self, name: str, *words: str) -> Any:
        """What the command line answers to somebody."""
        self.monkeypatch.setenv("BLACKSTART_GUARD_LOGIN", name)
        return self.call("guard", *words)

    def requests(self, *options: str) -> list[dict[str, Any]]:
        import json

        found: list[dict[str, Any]] = json.loads(self.says("bob", "list", "--json", *options).out)
        return found

    def migrate(self) -> Future[Any]:
        """February 2: a `$set` of the whole sub-document; it waits until it is decided about."""
        return self.threads.submit(
            lambda: self.deploys.update_many(
                {"_id": {"$lt": 5}}, {"$set": {"metadata": {"schema": 3}}}, comment="schema 3"
            )
        )

    def held(self) -> int:
        """The number of the one request that waits, when it is there."""
        while not (found := [each for each in self.requests() if each["state"] == "held"]):
            pass
        (request,) = found
        return int(request["number"])


@pytest.fixture
def people(
    guard: Guard, mongodb_uri: str, call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[People]:
    monkeypatch.setenv("BLACKSTART_GUARD_URI", guard.address)
    monkeypatch.setenv("BLACKSTART_GUARD_PASSWORD", PASSWORD)
    with (
        Client(mongodb_uri) as straight,
        Client(guard.uri("ada"), serverMonitoringMode="poll") as client,
        ThreadPoolExecutor() as threads,
    ):
        straight["test-guard-cli"]["deploys"].insert_many(
            {"_id": number, "metadata": {"tree": "t", "count": number}} for number in range(20)
        )
        people = People(guard, client, call, monkeypatch, threads)
        try:
            yield people
        finally:
            for request in people.requests():
                if request["state"] == "held":
                    people.says("bob", "reject", str(request["number"]), "--reason", "the end")
            straight.drop_database("test-guard-cli")
