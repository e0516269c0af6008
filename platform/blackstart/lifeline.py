"""Keeps a child process exactly as long as its parent: run as a program between the two.

    python -I lifeline.py --grace 5 --remove FOLDER -- COMMAND ...

The parent holds the write end of this program's standard input. When that
closes, whether the parent ended it, crashed or was killed with SIGKILL, the
command gets SIGTERM, after `--grace` seconds SIGKILL, and the folders given
with `--remove` are deleted. Without a command it only waits and deletes.
The command's process group always ends with it; with `--family` so do those of
its descendants that made a group or session of their own. `--limit CPU=60`
sets a resource limit (setrlimit(2)) that the command and its children inherit.
Standard library only, so that it stays small.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from types import FrameType

PR_SET_CHILD_SUBREAPER = 36


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
    if arguments.family:
        _adopt_orphans()
    for limit in arguments.limit:
        _set_limit(limit)
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
    code = 0 if child is None else _stop(child, arguments.grace, family=arguments.family)
    _remove(arguments.remove)
    return code


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="lifeline")
    parser.add_argument("--grace", type=float, default=5.0, help="seconds between TERM and KILL")
    parser.add_argument("--remove", action="append", default=[], help="folder to delete at the end")
    parser.add_argument("--family", action="store_true", help="end all descendants too")
    parser.add_argument(
        "--limit", action="append", default=[], help="NAME=VALUE, as in RLIMIT_NAME"
    )
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


def _set_limit(limit: str) -> None:
    """Lower one limit; the hard one lies 5 above, so that a signal with a meaning comes first."""
    name, _, value = limit.partition("=")
    which = getattr(resource, f"RLIMIT_{name}")
    _, hard = resource.getrlimit(which)
    wanted = (int(value), int(value) + 5)
    if hard != resource.RLIM_INFINITY:
        wanted = (min(wanted[0], hard), min(wanted[1], hard))
    resource.setrlimit(which, wanted)


def _adopt_orphans() -> None:
    """Have what a descendant leaves behind become our child (prctl(2), Linux alone has it)."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _stop(child: subprocess.Popen[bytes], grace_s: float, *, family: bool) -> int:
    if child.poll() is None and grace_s > 0:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(grace_s)
    # Looked for before the kill too: without adoption, an orphan is nobody's child afterwards.
    relatives = _descendants() if family else []
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    code = child.wait()
    while relatives:
        _kill(relatives)
        relatives = _descendants()
    return code


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    select.select([], [], [], 0.01)


def _descendants() -> list[int]:
    """Our children, theirs and so on."""
    children: dict[int, list[int]] = {}
    for pid, parent in _parents():
        children.setdefault(parent, []).append(pid)
    found: list[int] = []
    ahead = [os.getpid()]
    while ahead:
        mine = children.get(ahead.pop(), [])
        found += mine
        ahead += mine
    return found


def _parents() -> Iterator[tuple[int, int]]:
    """(process, its parent) of every process."""
    if not os.path.isdir("/proc/self"):
        with subprocess.Popen(["ps", "-A", "-o", "pid=,ppid="], stdout=subprocess.PIPE) as ps:
            lines = ps.communicate()[0].decode().splitlines()
        pairs = [(int(pid), int(parent)) for pid, parent in map(str.split, lines)]
        yield from (pair for pair in pairs if pair[0] != ps.pid)
        return
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as stat:
            # pid (name) state parent ...; the name may hold spaces and brackets (proc(5)).
            yield int(name), int(stat.read().rpartition(b")")[2].split()[1])


def _remove(folders: list[str]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
