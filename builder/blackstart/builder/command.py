"""Runs a site's build command: with limits, with nothing of ours in its sight, and to its end.

It keeps accidents in check, and what a repository may see by default. It is no
sandbox: the command runs as the worker's user, and the network is open to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from blackstart.builder.output import LineCutter
from blackstart.clock import Event
from blackstart.errors import BuildCommandError
from blackstart.process import behind_lifeline
from blackstart.settings import Settings

_CHUNK = 65_536
_LINE_BYTES = 16
"""What a line costs besides its text, so that empty lines fill the log as well."""
_DRAIN_S = 5.0
_WAKE_S = 1.0
"""How often a lifeline that ought to end is woken, in case it was stopped."""
_FIRST_SIGNAL_CODE = 256 - 64


@dataclass(frozen=True)
class Limits:
    """What a build command may use; memory and file size are per process and per file."""

    time_s: float = 900.0
    memory_mb: int = 2048
    output_kb: int = 1024
    file_mb: int = 1024

    @classmethod
    def from_settings(cls, settings: Settings) -> Limits | None:
        """None when build commands are switched off."""
        if not settings.build_commands:
            return None
        return cls(
            time_s=settings.build_time_s,
            memory_mb=settings.build_memory_mb,
            output_kb=settings.build_output_kb,
            file_mb=settings.build_file_mb,
        )

    def resources(self) -> dict[str, int]:
        """As values for setrlimit(2)."""
        return {
            "CORE": 0,
            # All cores at work all the time: a second end for what escapes the clock's.
            "CPU": int(self.time_s * (os.cpu_count() or 1)) + 1,
            # Not AS: some runtimes reserve far more addresses than they ever use.
            "DATA": self.memory_mb * 1024 * 1024,
            "FSIZE": self.file_mb * 1024 * 1024,
        }


async def run_command(
    command: str,
    folder: Path,
    *,
    scratch: Path,
    limits: Limits,
    environment: Mapping[str, str],
    on_output: Callable[[str], None],
    stop: Event | None = None,
) -> None:
    """Run `command` by a shell in `folder`; its output goes to `on_output`, line by line.

    `scratch` is a folder for its HOME and its temporary files. However this
    ends, by an error, cancelled or because we are killed, the command and all
    that it started end as well; on Linux also what made a session of its own.
    Raises: BuildCommandError with the exit code, the signal or the limit.
    """
    async with _running(command, folder, scratch, limits, environment) as (process, reader):
        ended = asyncio.ensure_future(asyncio.to_thread(process.wait))
        pump = asyncio.ensure_future(_pump(reader, limits, on_output))
        stopped = None if stop is None else asyncio.ensure_future(stop.wait())
        try:
            async with asyncio.timeout(limits.time_s):
                code = await _end_of(ended, pump, stopped)
        except TimeoutError as error:
            raise BuildCommandError(
                f"the build command was ended: it took longer than {limits.time_s:g} seconds",
                hint="BLACKSTART_BUILD_TIME_S sets how long it may take",
            ) from error
        finally:
            await _end_all(process, ended)
            for task in (pump, stopped):
                if task is not None:
                    task.cancel()
    _check(code, limits)


@asynccontextmanager
async def _running(
    command: str, folder: Path, scratch: Path, limits: Limits, environment: Mapping[str, str]
) -> AsyncIterator[tuple[subprocess.Popen[bytes], asyncio.StreamReader]]:
    process, read_end = _start(command, folder, scratch, limits, environment)
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb", buffering=0)
    )
    try:
        with process:
            yield process, reader
    finally:
        transport.close()


def _start(
    command: str, folder: Path, scratch: Path, limits: Limits, environment: Mapping[str, str]
) -> tuple[subprocess.Popen[bytes], int]:
    """The lifeline with the command behind it, and the end of a pipe to read its output from."""
    shell = shutil.which("bash", path="/bin:/usr/bin:/usr/local/bin") or "/bin/sh"
    line = behind_lifeline(
        [shell, "-c", command], grace_s=0, family=True, limits=limits.resources()
    )
    read_end, write_end = os.pipe()
    try:
        process = subprocess.Popen(
            line,
            cwd=folder,
            env=command_environment(scratch, environment),
            stdin=subprocess.PIPE,
            stdout=write_end,
            stderr=write_end,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        os.close(read_end)
        raise BuildCommandError(f"the build command cannot be started: {error}") from error
    finally:
        os.close(write_end)
    return process, read_end


def command_environment(scratch: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """All that a build command gets to see; makes the folders that it names.

    `environment` is the repository's own. Nothing else of ours is passed on.
    """
    for name in ("home", "tmp"):
        (scratch / name).mkdir(parents=True, exist_ok=True)
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "CI": "true",
        # A git that the command runs must not find a repository of ours above the site.
        "GIT_CEILING_DIRECTORIES": str(scratch.parent),
        **environment,
        "HOME": str(scratch / "home"),
        "TMPDIR": str(scratch / "tmp"),
    }


async def _end_of(
    ended: asyncio.Future[int],
    pump: asyncio.Future[None],
    stopped: asyncio.Future[bool] | None,
) -> int:
    """The exit code, once all output is read. Raises: BuildCommandError."""
    waits: set[asyncio.Future[int] | asyncio.Future[None] | asyncio.Future[bool]] = {ended, pump}
    if stopped is not None:
        waits.add(stopped)
    while not ended.done():
        done, waits = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if pump in done:
            pump.result()
        if stopped is not None and stopped.done():
            raise BuildCommandError("the build command was ended: the worker stops")
    # Everybody who could hold the pipe open is gone, unless something broke loose.
    await asyncio.wait([pump], timeout=_DRAIN_S)
    if pump.done():
        pump.result()
    return ended.result()


async def _end_all(process: subprocess.Popen[bytes], ended: asyncio.Future[int]) -> None:
    """Have the lifeline end what still runs, and wait until it has.

    A command can stop its lifeline (SIGSTOP), which would hold up the worker for ever.
    """
    assert process.stdin is not None
    process.stdin.close()
    while not ended.done():
        process.send_signal(signal.SIGCONT)
        await asyncio.wait([ended], timeout=_WAKE_S)


async def _pump(
    reader: asyncio.StreamReader, limits: Limits, on_output: Callable[[str], None]
) -> None:
    cutter = LineCutter()
    left = limits.output_kb * 1024
    while chunk := await reader.read(_CHUNK):
        for line in cutter.feed(chunk[:left]):
            if left > 0:
                on_output(line)
            left -= _LINE_BYTES
        left -= len(chunk)
        if left < 0:
            raise BuildCommandError(
                f"the build command was ended: it printed more than {limits.output_kb} KB",
                hint="make it print less, or raise BLACKSTART_BUILD_OUTPUT_KB",
            )
    for line in cutter.rest():
        on_output(line)


def _check(code: int, limits: Limits) -> None:
    """Raises: BuildCommandError unless the exit code is 0."""
    if code == 0:
        return
    number = _signal(code)
    if number is None:
        raise BuildCommandError(
            f"the build command failed with exit code {code}",
            hint=f"its output is in the log; a process may use {limits.memory_mb} MB of memory",
        )
    if number == signal.SIGXFSZ:
        raise BuildCommandError(
            f"the build command was ended: it wrote a file larger than {limits.file_mb} MB",
            hint="BLACKSTART_BUILD_FILE_MB sets how large a file may be",
        )
    if number == signal.SIGXCPU:
        raise BuildCommandError("the build command was ended: it used too much processor time")
    raise BuildCommandError(f"the build command was killed by {number.name}")


def _signal(code: int) -> signal.Signals | None:
    """The signal in an exit code: 256 less it from the lifeline, 128 more than it from a shell.

    Below 0 it is the signal that ended the lifeline itself.
    """
    if code < 0:
        return signal.Signals(-code)
    number = 256 - code if code >= _FIRST_SIGNAL_CODE else code - 128
    with contextlib.suppress(ValueError):
        return signal.Signals(number)
    return None
