"""`blackstart test`: the checkout's tests, by pytest."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer


def test(
    pytest_args: Annotated[
        list[str] | None,
        typer.Argument(metavar="PYTEST_ARGS", help="Passed on to pytest as they are."),
    ] = None,
) -> None:
    """Run the tests. All arguments go to pytest: [bold]blackstart test -x -k origin[/]

    Without a choice of tests there is a worker for each core, and one more.
    """
    arguments = list(pytest_args or [])
    if not any(argument.startswith(("-q", "--quiet", "-v", "--verbose")) for argument in arguments):
        arguments.insert(0, "-q")
    if _is_whole_run(pytest_args or []):
        arguments[:0] = ["-n", str(_workers()), "--dist", "loadfile"]
    os.chdir(_checkout())
    # pytest takes this process's place, so that signals and its exit code are its own business.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "pytest", *arguments])


def _workers() -> int:
    """One more than there are cores: tests wait for databases, processes and disks as well."""
    return (os.cpu_count() or 1) + 1


def _is_whole_run(arguments: list[str]) -> bool:
    """Whether no test is chosen: that is worth the start of a worker for each core."""
    return all(argument.startswith(("-q", "--quiet", "-v")) for argument in arguments)


def _checkout() -> Path:
    from blackstart.errors import UsageError

    for folder in Path(__file__).resolve().parents:
        if (folder / "pyproject.toml").is_file() and (folder / "tests").is_dir():
            return folder
    raise UsageError(
        "this is an installed copy of Blackstart, which has no tests",
        hint="run ./blackstart test in a checkout",
    )
