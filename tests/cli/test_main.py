"""Help, version, and how the command line ends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pytest

from blackstart.cli import main as entry
from blackstart.cli.main import app
from blackstart.errors import ConflictError, UsageError

Call = Callable[..., Any]
COMMANDS = [
    command.name or (command.callback.__name__ if command.callback else "")
    for command in app.registered_commands
]


def test_the_servers_commands_are_there() -> None:
    assert {"up", "serve", "safeguards", "test"} <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_text_that_fits_in_80_columns(call: Call, command: str) -> None:
    done = call(command, "--help")
    assert (done.code, done.err) == (0, "")
    assert f"blackstart {command}" in done.out
    assert max(len(line) for line in done.out.splitlines()) <= 80


def test_help_lists_every_command_and_so_does_no_argument(call: Call) -> None:
    for arguments in (["--help"], ["-h"], []):
        done = call(*arguments)
        assert done.code == 0
        for command in COMMANDS:
            assert command in done.out


def test_a_command_that_is_named_is_the_only_one_that_is_made() -> None:
    whole = entry.command_line("").commands
    assert len(whole) > len(COMMANDS)
    for name in whole:
        assert list(entry.command_line(name).commands) == [name]
    for first in ("--help", "nonsense"):
        assert list(entry.command_line(first).commands) == list(whole)


def test_the_version_is_the_package_s(call: Call) -> None:
    assert call("--version").out == f"blackstart {version('blackstart')}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["--nonsense"],
        ["serve"],
        ["serve", "nonsense"],
        ["serve", "origin", "--listen"],
        ["up", "--nodes", "0"],
        ["up", "--nodes", "many"],
        ["up", "--port", "99999"],
        ["safeguards", "extra"],
    ],
    ids=" ".join,
)
def test_bad_usage_is_one_line_and_exit_code_2(call: Call, arguments: list[str]) -> None:
    done = call(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ")
    assert "--help`)" in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code"), [(UsageError("no", hint="do this"), 2), (ConflictError("no"), 1)]
)
def test_an_expected_error_is_one_line_with_its_hint(
    call: Call, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(entry, "command_line", lambda first: fail)
    done = call()
    assert (done.code, done.err) == (code, f"error: {error}\n")


def test_ctrl_c_is_quiet_and_exit_code_130(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(entry, "command_line", lambda first: interrupt)
    done = call()
    assert (done.code, done.out, done.err) == (130, "", "")


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["at the end", "at once"])
def test_a_reader_that_goes_away_is_no_error(unbuffered: str) -> None:
    command = [sys.executable, "-P", "-m", "blackstart.cli", "safeguards", "--json"]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


def test_help_loads_none_of_the_heavy_parts() -> None:
    script = """
import sys
from blackstart.cli.main import main
try:
    main(["--help"])
except SystemExit:
    print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    loaded = set(done.stdout.decode().split())
    heavy = {"fastapi", "pymongo", "obstore", "uvicorn", "httpx2", "pydantic"}
    assert loaded & heavy == set()


def test_a_process_ends_with_its_code_and_is_not_taken_apart_while_threads_run() -> None:
    program = """
import atexit, sys
from blackstart.cli.leaving import leave
class Late:
    def __del__(self): print("taken apart")
late = Late()
atexit.register(print, "at exit")
print("said", end=" ")
leave(3)
"""
    command = [sys.executable, "-P", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "said at exit\n", "")
