"""What lies ready in a console: the database through the guard, the API, the recovery tools."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from blackstart.cli.api_options import open_api
from blackstart.cli.guard_client import open_client
from blackstart.cli.guard_door import Door
from blackstart.errors import UsageError
from blackstart.settings import Settings, load

APPLICATION = "blackstart console"


class Absent:
    """Stands for something that was not set up, and says how it would be."""

    def __init__(self, why: UsageError) -> None:
        self._why = why

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise UsageError(self._why.message, hint=self._why.hint)

    def __repr__(self) -> str:
        return f"not here: {self._why}"


class Toolbox:
    """The names of a console. Raises: UsageError for settings that make no sense."""

    def __init__(self, door: Door, api: str | None, token_file: Path | None) -> None:
        self._door = door
        self._stack = ExitStack()
        self._database = load(Settings).database
        self.client = self._stack.enter_context(open_client(door, APPLICATION))
        try:
            self.api: Any = self._stack.enter_context(open_api(api, token_file))
        except UsageError as error:
            self.api = Absent(error)

    def __enter__(self) -> Toolbox:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def names(self) -> dict[str, Any]:
        return {
            "db": self.client[self._database],
            "client": self.client,
            "api": self.api,
            "run": self.run,
            "snapshots": lambda: self.run("snapshot list"),
            "find": lambda *options: self.run("recover find", *options),
            "plan": lambda file, *options: self.run("recover plan", str(file), *options),
            "verify": lambda *options: self.run("recover verify", *map(str, options)),
        }

    def banner(self) -> str:
        """What is there, in a few lines."""
        return (
            f"{self._door.login} at the guard {self._door.address}; this console is on record.\n"
            f"  db, client      MongoDB through the guard: db.deploys.find_one()\n"
            f"  api             the control API: api.get('sites')\n"
            f"  snapshots()     the snapshots; run('snapshot mount newest') reads one\n"
            f"  find(), plan('plan.jsonl'), verify()   what is broken, and its way back\n"
            f"  run('...')      any command of blackstart; it goes through the guard, too\n"
        )

    def run(self, line: str, *options: str) -> int:
        """Run a command line of ours, which sees the database as this console does.

        Returns its exit code. With the guard's name for the database it has your rights alone.
        """
        command = [sys.executable, "-P", "-m", "blackstart.cli", *shlex.split(line), *options]
        # In the environment: everybody on the machine can read options.
        own = {
            "BLACKSTART_MONGODB_URI": self._door.whole_uri,
            "BLACKSTART_GUARD_URI": self._door.uri,
            "BLACKSTART_GUARD_LOGIN": self._door.login,
            "BLACKSTART_GUARD_PASSWORD": self._door.password,
        }
        sys.stdout.flush()
        return subprocess.run(command, env={**os.environ, **own}, check=False).returncode
