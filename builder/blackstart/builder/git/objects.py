"""Reads git's own objects (`ls-tree`, `cat-file`), so no hook, filter or setting changes a byte."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from blackstart.builder.git.run import git_command, git_environment, run_git
from blackstart.errors import RepositoryError

SHORTEST_ID = 7
_ID = re.compile(r"[0-9a-f]{7,64}")
FULL_LENGTHS = (40, 64)


class CommitMissingError(RepositoryError):
    """The repository holds no such commit; another copy of it may."""


class UnreadableObjectError(RepositoryError):
    """An object that must be there is not, or is damaged."""


def check_commit_id(commit: str) -> None:
    """Raises: RepositoryError unless it is a commit id or the beginning of one."""
    if not _ID.fullmatch(commit):
        raise RepositoryError(
            f"not a commit id: {commit[:100]!r}",
            hint=f"give {SHORTEST_ID} or more digits of it, in small letters",
        )


def full_commit_id(git_dir: Path, commit: str) -> str:
    """The one commit whose id is or begins like that; no branch or tag is ever meant.

    Raises: CommitMissingError; RepositoryError when several commits begin so.
    """
    if len(commit) in FULL_LENGTHS:
        return commit
    alike = run_git(["rev-parse", f"--disambiguate={commit}"], git_dir)
    out = run_git(["cat-file", "--batch-check=%(objecttype) %(objectname)"], git_dir, stdin=alike)
    found = [line.split()[1] for line in out.decode().splitlines() if line.startswith("commit ")]
    if not found:
        raise CommitMissingError(f"no commit {commit} in {git_dir}")
    if len(found) > 1:
        raise RepositoryError(f"{len(found)} commits begin with {commit}", hint="give more digits")
    return found[0]


def list_files(git_dir: Path, commit: str) -> Iterator[tuple[str, str, str]]:
    """(mode, object id, path) of every file of a commit, in path order.

    Raises: RepositoryError for an unknown commit, or a path that is not UTF-8
    or leads outside of the site, which only a hostile repository has.
    """
    try:
        out = run_git(["ls-tree", "-r", "-z", "--full-tree", f"{commit}^{{commit}}"], git_dir)
    except RepositoryError as error:
        raise _why_no_list(git_dir, commit) from error
    for line in out.split(b"\0")[:-1]:
        meta, _, path = line.partition(b"\t")
        mode, _, oid = meta.decode().split()
        if any(part in (b"", b".", b"..") for part in path.split(b"/")):
            raise RepositoryError(f"a path in commit {commit} is outside of the site: {path!r}")
        try:
            yield mode, oid, path.decode()
        except UnicodeDecodeError as error:
            raise RepositoryError(f"a path in commit {commit} is not UTF-8: {path!r}") from error


def _why_no_list(git_dir: Path, commit: str) -> RepositoryError:
    try:
        run_git(["cat-file", "-e", f"{commit}^{{commit}}"], git_dir)
    except RepositoryError:
        return CommitMissingError(f"no commit {commit} in {git_dir}")
    return UnreadableObjectError(f"git cannot read all folders of commit {commit}")


def read_blobs(git_dir: Path, oids: Sequence[str]) -> Iterator[bytes]:
    """The contents of git blobs, in order, through one `cat-file --batch`.

    Raises: RepositoryError.
    """
    if not oids:
        return
    with subprocess.Popen(
        git_command(["cat-file", "--batch"], git_dir),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=git_environment(),
        start_new_session=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            for oid in oids:
                _ask(process.stdin, oid)
                yield _one_blob(process.stdout, oid)
        finally:
            # It has nothing to finish, and if it hangs on a dead disk nothing else ends it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()


def _ask(stdin: IO[bytes], oid: str) -> None:
    try:
        stdin.write(f"{oid}\n".encode())
        stdin.flush()  # one at a time: neither pipe can ever fill up
    except BrokenPipeError as error:
        raise UnreadableObjectError(f"git broke off before object {oid}") from error


def _one_blob(stdout: IO[bytes], oid: str) -> bytes:
    header = stdout.readline().split()
    if len(header) != 3:
        raise UnreadableObjectError(f"git cannot read object {oid}")
    size = int(header[2])
    data = stdout.read(size)
    if len(data) != size or stdout.read(1) != b"\n":
        raise UnreadableObjectError(f"git broke off reading object {oid}")
    return data
