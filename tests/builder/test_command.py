"""Tests of build commands: each limit hit for real, and nothing left running, however it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from blackstart.builder.command import Limits, run_command
from blackstart.clock import WallEvent
from blackstart.errors import BuildCommandError
from blackstart.settings import Settings

FOREVER = "sleep 300"
PATIENCE_S = 30
Run = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "work" / "site"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def run(folder: Path, said: list[str]) -> Run:
    """Runs a command with limits by name; what it says is in `said`."""

    async def run(
        command: str,
        *,
        environment: dict[str, str] | None = None,
        stop: WallEvent | None = None,
        **limits: Any,
    ) -> None:
        await run_command(
            command,
            folder,
            scratch=folder.parent / "scratch",
            limits=Limits(**limits),
            environment=environment or {},
            on_output=said.append,
            stop=stop,
        )

    return run


def pids(folder: Path) -> list[int]:
    """The processes that wrote their ids below `folder`; a process writes its own with `note`."""
    return [int(path.name) for path in (folder / "pids").glob("*")]


NOTE = "mkdir -p pids; touch pids/$BASHPID; "
FAMILY = (
    NOTE
    + f"({NOTE} exec {FOREVER}) & "
    + f"setsid bash -c '{NOTE} exec {FOREVER}' & "
    + f"(setsid bash -c '{NOTE} ({NOTE} exec {FOREVER}) & exec {FOREVER}' &) ; "
    + "while [ $(ls pids | wc -l) -lt 5 ]; do :; done; echo ready; "
)
"""A child, a child with a session of its own, and an orphaned session with a child."""


def alive(numbers: list[int]) -> list[int]:
    return [pid for pid in numbers if psutil.pid_exists(pid) and not _is_zombie(pid)]


def _is_zombie(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


async def test_what_the_command_says_comes_line_by_line_and_its_files_stay(
    run: Run, folder: Path, said: list[str]
) -> None:
    await run("echo one; echo two >&2; printf three; echo made > made.txt; cat")
    assert said == ["one", "two", "three"]
    assert (folder / "made.txt").read_text() == "made\n"


async def test_the_command_sees_nothing_of_ours(
    run: Run, folder: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BLACKSTART_PURGE_TOKEN", "AWS_SECRET_ACCESS_KEY", "SSH_AUTH_SOCK", "https_proxy"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("PATH", os.environ["PATH"] + ":/ours")
    await run(f"{sys.executable} -I -S -c 'import json, os; print(json.dumps(dict(os.environ)))'")
    seen = json.loads(said[0])
    for mine in ("PWD", "OLDPWD", "SHLVL", "_", "LC_CTYPE"):
        seen.pop(mine, None)  # the shell's own
    scratch = folder.parent / "scratch"
    assert seen == {
        "PATH": os.environ["PATH"],
        "HOME": str(scratch / "home"),
        "TMPDIR": str(scratch / "tmp"),
        "LANG": "C.UTF-8",
        "CI": "true",
        "GIT_CEILING_DIRECTORIES": str(folder.parent),
    }


async def test_the_repository_s_own_variables_are_added_but_do_not_move_home(
    run: Run, folder: Path, said: list[str]
) -> None:
    await run("echo $GREETING $CI $HOME", environment={"GREETING": "hi", "CI": "1", "HOME": "/"})
    assert said == [f"hi 1 {folder.parent / 'scratch' / 'home'}"]


async def test_standard_input_is_closed_and_no_file_of_ours_is_open(
    run: Run, said: list[str]
) -> None:
    ours = os.open(os.devnull, os.O_RDONLY)
    try:
        os.set_inheritable(ours, True)
        await run("cat; ls /dev/fd | wc -w; ls -l /proc/$$/fd/0 2>/dev/null | grep -c /dev/null")
    finally:
        os.close(ours)
    # Standard input, output and error; and what `ls` itself opens to look.
    assert said == ["4", "1"]


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("exit 3", "failed with exit code 3"),
        ("nosuchprogram", "failed with exit code 127"),
        ("kill -SEGV $$", "killed by SIGSEGV"),
        ("bash -c 'kill -TERM $$'; exit $?", "killed by SIGTERM"),
        ("kill -KILL $PPID", "killed by SIGKILL"),
    ],
)
async def test_a_command_that_fails_is_told_by_how_it_failed(
    run: Run, command: str, reason: str
) -> None:
    with pytest.raises(BuildCommandError, match=reason):
        await run(command)


async def test_a_command_that_stops_what_watches_over_it_is_ended_all_the_same(
    run: Run, folder: Path
) -> None:
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(BuildCommandError, match=r"longer than 0\.5 seconds"):
            await run(f"{NOTE} kill -STOP $PPID; exec {FOREVER}", time_s=0.5)
    assert len(pids(folder)) == 1
    assert alive(pids(folder)) == []


async def test_a_command_that_takes_too_long_is_ended(run: Run, folder: Path) -> None:
    with pytest.raises(BuildCommandError, match=r"longer than 0\.5 seconds"):
        await run(f"{NOTE} {FOREVER}", time_s=0.5)
    assert alive(pids(folder)) == []


async def test_a_command_that_says_too_much_is_ended(run: Run, said: list[str]) -> None:
    with pytest.raises(BuildCommandError, match="printed more than 16 KB"):
        await run("yes", output_kb=16)
    assert said
    assert sum(len(line) for line in said) <= 16 * 1024


@pytest.mark.parametrize("noise", ["''", "$'\\r'", "$'\\e[0m'"])
async def test_lines_that_show_nothing_count_as_well(run: Run, said: list[str], noise: str) -> None:
    with pytest.raises(BuildCommandError, match="printed more than 16 KB"):
        await run(f"yes {noise}", output_kb=16)
    assert len(said) <= 1024


async def test_a_command_that_writes_too_large_a_file_is_ended(run: Run, folder: Path) -> None:
    with pytest.raises(BuildCommandError, match="a file larger than 1 MB"):
        await run("exec head -c 3000000 /dev/zero > large", file_mb=1)
    assert (folder / "large").stat().st_size == 1024 * 1024


async def test_a_command_that_takes_too_much_memory_fails(run: Run, said: list[str]) -> None:
    take = f"{sys.executable} -I -S -c 'len(bytearray(300_000_000)); print(1)'"
    with pytest.raises(BuildCommandError, match="may use 200 MB of memory"):
        await run(take, memory_mb=200)
    assert said[-1] == "MemoryError"
    await run(take, memory_mb=600)


async def test_processor_time_and_core_dumps_are_limited(run: Run, said: list[str]) -> None:
    await run("ulimit -S -t; ulimit -c", time_s=60)
    assert said == [str(60 * (os.cpu_count() or 1) + 1), "0"]


async def test_whatever_the_command_leaves_behind_ends_with_it(
    run: Run, folder: Path, said: list[str]
) -> None:
    await run(FAMILY)
    assert said == ["ready"]
    assert len(pids(folder)) == 5
    assert alive(pids(folder)) == []


@pytest.mark.parametrize("how", ["cancelled", "stopped"])
async def test_a_command_that_is_stopped_ends_with_all_its_children(
    run: Run, folder: Path, said: list[str], until: Any, how: str
) -> None:
    stop = WallEvent()
    work = asyncio.create_task(run(FAMILY + FOREVER, stop=stop))
    await until(lambda: said == ["ready"])
    if how == "cancelled":
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
    else:
        stop.set()
        with pytest.raises(BuildCommandError, match="the worker stops"):
            await work
    assert len(pids(folder)) == 5
    assert alive(pids(folder)) == []


WORKER = """
import asyncio, sys
from pathlib import Path
from blackstart.builder.command import Limits, run_command
folder = Path(sys.argv[1])
asyncio.run(run_command(sys.argv[2], folder, scratch=folder.parent / "scratch", limits=Limits(),
                        environment={}, on_output=lambda line: print(line, flush=True)))
"""


async def test_a_command_ends_when_its_worker_is_killed(folder: Path, until: Any) -> None:
    line = [sys.executable, "-c", WORKER, str(folder), FAMILY + FOREVER]
    with subprocess.Popen(line, stdout=subprocess.PIPE) as worker:  # noqa: ASYNC220
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"ready\n"
        assert len(alive(pids(folder))) == 5
        worker.send_signal(signal.SIGKILL)
    await until(lambda: alive(pids(folder)) == [])


async def test_a_command_that_closes_its_output_is_still_waited_for(run: Run, folder: Path) -> None:
    await run("exec >&- 2>&-; for i in $(seq 2000); do :; done; touch done")
    assert (folder / "done").exists()


async def test_a_folder_that_is_gone_is_an_error_of_the_build(run: Run, folder: Path) -> None:
    folder.rmdir()
    with pytest.raises(BuildCommandError, match="cannot be started"):
        await run("true")


def test_commands_are_off_unless_a_setting_turns_them_on() -> None:
    assert Limits.from_settings(Settings()) is None
    on = Settings(build_commands=True, build_time_s=1, build_memory_mb=64, build_output_kb=3)
    assert Limits.from_settings(on) == Limits(time_s=1, memory_mb=64, output_kb=3)
