"""Keeps a child process exactly as long as its parent: run as a program between the two.

    python -I lifeline.py --grace 5 --remove FOLDER -- COMMAND ...

The parent holds the write end of this program's standard input. When that
closes, whether the parent ended it, crashed or was killed with SIGKILL, the
command gets SIGTERM, after `--grace` seconds SIGKILL, and the folders given
with `--remove` are deleted. Without a command it only waits and deletes.
Standard library only, so that it stays small.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
from types import FrameType


def main(argv: list[str]) -> int:
    """Run the command until it ends or the parent is gone; returns its exit code."""
    arguments = _parse(argv)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)

    def wake(signum: int, frame: FrameType | None) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(wake_write, bytes([signum]))

    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(signum, wake)
    child = None
    if arguments.command:
        try:
            child = subprocess.Popen(
                arguments.command, stdin=subprocess.DEVNULL, start_new_session=True
            )
        except OSError as error:
            print(f"cannot start {arguments.command[0]}: {error}", file=sys.stderr)
            _remove(arguments.remove)
            return 127
    _wait_for_end(child, wake_read)
    code = 0 if child is None else _stop(child, arguments.grace)
    _remove(arguments.remove)
    return code


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="lifeline")
    parser.add_argument("--grace", type=float, default=5.0, help="seconds between TERM and KILL")
    parser.add_argument("--remove", action="append", default=[], help="folder to delete at the end")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args(argv)
    if arguments.command[:1] == ["--"]:
        del arguments.command[0]
    return arguments


def _wait_for_end(child: subprocess.Popen[bytes] | None, wake_read: int) -> None:
    """Return when the child has ended, a signal asks to stop, or the parent let go."""
    stdin = sys.stdin.fileno()
    while child is None or child.poll() is None:
        readable, _, _ = select.select([stdin, wake_read], [], [])
        if wake_read in readable:
            if set(os.read(wake_read, 64)) - {signal.SIGCHLD}:
                return
        elif not os.read(stdin, 64):
            return


def _stop(child: subprocess.Popen[bytes], grace_s: float) -> int:
    if child.poll() is None and grace_s > 0:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(grace_s)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    return child.wait()


def _remove(folders: list[str]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
