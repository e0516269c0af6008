"""Runs git: quietly, with nothing of the user's or the system's settings, and never for ever.

Two kinds of call. One reads or writes a repository on disk and may use no
transport at all, so that no setting in that repository can make git start a
program. The other talks to a remote and ends with us, even when we are killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from blackstart.errors import RepositoryError
from blackstart.process import behind_lifeline

TIMEOUT_S = 300.0
_KEPT = ("PATH", "TMPDIR", "SSH_AUTH_SOCK", "http_proxy", "https_proxy", "all_proxy", "no_proxy")
_HARMLESS = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "",
    "GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=15",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    # Below it there is no .netrc with passwords. ssh asks the system for its folder instead.
    "HOME": os.devnull,
    "LC_ALL": "C",
}
_SETTINGS = {
    "safe.directory": "*",
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "credential.helper": "",
    # Nothing is ever thrown away: a commit that was built can be built again.
    "gc.auto": "0",
    "maintenance.auto": "false",
    "fetch.recurseSubmodules": "false",
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": "60",
}


def run_git(
    arguments: Sequence[str],
    git_dir: Path | None,
    *,
    inside: bool = False,
    stdin: bytes = b"",
    timeout_s: float = TIMEOUT_S,
) -> bytes:
    """Run git on a repository on disk and return what it printed.

    Raises: RepositoryError with git's last line, or that it took too long.
    """
    command = git_command(arguments, git_dir, inside=inside)
    try:
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=git_environment(),
            start_new_session=True,
        ) as process:
            try:
                out, err = process.communicate(stdin, timeout=timeout_s)
            except BaseException:
                _kill_group(process)
                raise
    except subprocess.TimeoutExpired as error:
        raise _too_slow(arguments, timeout_s) from error
    except (OSError, ValueError) as error:
        raise RepositoryError(f"git {arguments[0]} did not run: {error}") from error
    return _result(arguments, process.returncode, out, err)


def run_git_over_network(
    arguments: Sequence[str],
    git_dir: Path | None,
    *,
    settings: Mapping[str, str],
    timeout_s: float,
) -> None:
    """Run git against an https or ssh remote; it and its helpers end with us, however we end.

    `settings` are git's own, such as `http.sslCAInfo`. Raises: RepositoryError.
    """
    command = git_command(arguments, git_dir, settings=settings)
    read_end, write_end = os.pipe()
    try:
        with subprocess.Popen(
            behind_lifeline(command, grace_s=0),
            stdin=read_end,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=git_environment(protocols="https:ssh"),
            start_new_session=True,
        ) as process:
            try:
                _, err = process.communicate(timeout=timeout_s)
            finally:
                os.close(write_end)  # the lifeline now ends git, if it still runs
                write_end = -1
    except subprocess.TimeoutExpired as error:
        raise _too_slow(arguments, timeout_s) from error
    except (OSError, ValueError) as error:
        raise RepositoryError(f"git {arguments[0]} did not run: {error}") from error
    finally:
        os.close(read_end)
        if write_end >= 0:
            os.close(write_end)
    _result(arguments, process.returncode, b"", err)


def git_command(
    arguments: Sequence[str],
    git_dir: Path | None,
    *,
    inside: bool = False,
    settings: Mapping[str, str] | None = None,
) -> list[str]:
    """The command line; `inside` lets git look for the repository that `git_dir` belongs to."""
    where = [] if git_dir is None else ["-C" if inside else "--git-dir", str(git_dir)]
    pairs = {**_SETTINGS, **(settings or {})}.items()
    options = [part for key, value in pairs for part in ("-c", f"{key}={value}")]
    return ["git", *options, *where, *arguments]


def git_environment(*, protocols: str = "") -> dict[str, str]:
    """All that git gets to see; `protocols` are those it may use, none by default."""
    names = {*_KEPT, *(name.upper() for name in _KEPT)}
    kept = {name: os.environ[name] for name in sorted(names) if name in os.environ}
    return {**kept, **_HARMLESS, "GIT_ALLOW_PROTOCOL": protocols}


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _too_slow(arguments: Sequence[str], timeout_s: float) -> RepositoryError:
    return RepositoryError(
        f"git {arguments[0]} was ended: it took longer than {timeout_s:g} seconds",
        hint="look whether the repository answers, then build again",
    )


def _result(arguments: Sequence[str], code: int, out: bytes, err: bytes) -> bytes:
    if code == 0:
        return out
    lines = [line for line in err.decode(errors="replace").splitlines() if line.strip()]
    last = "".join(filter(str.isprintable, lines[-1]))[:500] if lines else f"exit code {code}"
    raise RepositoryError(f"git {arguments[0]} failed: {last}")
