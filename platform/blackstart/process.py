"""Child processes that never outlive us, and temporary folders that never stay."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from blackstart import lifeline
from blackstart.errors import ProcessError


class ChildProcess:
    """A command behind a lifeline: it ends when `stop` is called or this process dies."""

    def __init__(self, name: str, popen: subprocess.Popen[bytes]) -> None:
        self.name = name
        self._popen = popen

    @classmethod
    def start(
        cls,
        name: str,
        command: Sequence[str],
        *,
        log: Path | None = None,
        env: Mapping[str, str] | None = None,
        remove: Sequence[Path] = (),
        grace_s: float = 5.0,
    ) -> ChildProcess:
        """Start a command; its output is appended to `log`, or dropped.

        An empty command only waits, which is enough to guard folders.
        `remove` are folders deleted when it ends. Raises: ProcessError.
        """
        line = behind_lifeline(command, grace_s=grace_s, remove=remove)
        try:
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if log else None
            try:
                popen = subprocess.Popen(
                    line,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL if output is None else output,
                    stderr=subprocess.DEVNULL if output is None else output,
                    env=None if env is None else dict(env),
                    # A Ctrl-C in the terminal reaches us alone; we then end the child in order.
                    start_new_session=True,
                )
            finally:
                if output is not None:
                    os.close(output)
        except OSError as error:
            raise ProcessError(f"cannot start {name}: {error}") from error
        return cls(name, popen)

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._popen.poll()

    @property
    def pid(self) -> int:
        """Of the lifeline; the command is its child."""
        return self._popen.pid

    async def stop(self) -> None:
        """End it, by force after its grace, and wait until it and its folders are gone."""
        self._let_go()
        await asyncio.to_thread(self._popen.wait)

    def stop_now(self) -> None:
        """As `stop`, for code without an event loop."""
        self._let_go()
        self._popen.wait()

    def _let_go(self) -> None:
        if self._popen.stdin is not None and not self._popen.stdin.closed:
            self._popen.stdin.close()


def behind_lifeline(
    command: Sequence[str],
    *,
    grace_s: float,
    remove: Sequence[Path] = (),
    family: bool = False,
    limits: Mapping[str, int] | None = None,
) -> list[str]:
    """The command line that runs a command only as long as its standard input is held open.

    See `blackstart.lifeline` for the options; `limits` are values by the names of setrlimit(2).
    """
    # Standard library only, and without the site's packages: it stays small.
    line = [sys.executable, "-I", "-S", lifeline.__file__, "--grace", str(grace_s)]
    for folder in remove:
        line += ["--remove", str(folder)]
    for name, value in (limits or {}).items():
        line += ["--limit", f"{name}={value}"]
    return [*line, *(["--family"] if family else []), "--", *command]


def free_port() -> int:
    """A loopback port that nobody listens on at this moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def temporary_folder(purpose: str, *, within: Path | None = None) -> Path:
    """A new private folder, under the system's temporary one unless `within` says otherwise.

    The caller sees to its end.
    """
    return Path(tempfile.mkdtemp(prefix=f"blackstart-{purpose}-", dir=within))


def remove_folder(folder: Path) -> None:
    """Delete a folder of ours that others filled: write-protected, or deeper than Python recurses.

    What cannot be deleted stays, without a word.
    """
    with contextlib.suppress(RecursionError):
        shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        for command in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
            subprocess.run([*command, "--", folder], stderr=subprocess.DEVNULL, check=False)


@asynccontextmanager
async def scratch_folder(purpose: str) -> AsyncIterator[Path]:
    """A temporary folder that is gone afterwards, even when this process is killed."""
    folder = temporary_folder(purpose)
    guard = ChildProcess.start("the scratch folder's guard", [], remove=[folder], grace_s=0)
    try:
        yield folder
    finally:
        await asyncio.shield(guard.stop())
