"""git as a source of commits: the files of exactly one commit, as git holds them.

Files are read from git's own objects (`ls-tree`, `cat-file`), so no hook,
filter or line-ending setting can run or change a byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from blackstart.errors import RepositoryError
from blackstart.model import Repo
from blackstart.process import temporary_folder

TIMEOUT_S = 300.0
_COMMIT = re.compile(r"^[0-9a-f]{40}([0-9a-f]{24})?$")
_URL = re.compile(r"^(https|ssh)://[^-]")
_NEVER_PUBLISHED = re.compile(r"(^|/)\.git")
_HARMLESS = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_CONFIG_NOSYSTEM": "1",
    "LC_ALL": "C",
}


@dataclass(frozen=True)
class Checkout:
    """The files of one commit in a folder; `skipped` says what was left out and why."""

    commit: str
    folder: Path
    paths: list[str]
    skipped: list[str]


class Source(Protocol):
    """Where commits come from: git, or in a drill git at a distance."""

    async def head(self, repo: Repo) -> str:
        """The commit at the tip of the repository's branch. Raises: RepositoryError."""
        ...

    async def checkout(self, repo: Repo, commit: str, folder: Path) -> Checkout:
        """Write the commit's files below `folder`. Raises: RepositoryError."""
        ...


class Git:
    """`Source` over the git command line.

    A folder is read in place. An https or ssh URL is kept as a bare clone
    below `cache`, fetched whenever a head is asked for.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache

    async def head(self, repo: Repo) -> str:
        return await asyncio.to_thread(self._head, repo)

    async def checkout(self, repo: Repo, commit: str, folder: Path) -> Checkout:
        return await asyncio.to_thread(self._checkout, repo, commit, folder)

    def _head(self, repo: Repo) -> str:
        git_dir = self._git_dir(repo, fetch=True)
        try:
            out = run_git(
                ["rev-parse", "--verify", "--quiet", f"refs/heads/{repo.branch}"], git_dir
            )
        except RepositoryError as error:
            raise RepositoryError(
                f"{repo.url} has no branch {repo.branch!r} with a commit"
            ) from error
        return out.decode().strip()

    def _checkout(self, repo: Repo, commit: str, folder: Path) -> Checkout:
        if not _COMMIT.match(commit):
            raise RepositoryError(f"not a full commit id: {commit!r}")
        git_dir, listed = self._list(repo, commit)
        paths: list[str] = []
        oids: list[str] = []
        skipped: list[str] = []
        for mode, oid, path in listed:
            if _NEVER_PUBLISHED.search(path):
                continue
            if mode in ("100644", "100755"):
                paths.append(path)
                oids.append(oid)
            else:
                kind = "symbolic link" if mode == "120000" else "submodule"
                skipped.append(f"{path}: a {kind} is not published")
        for path, data in zip(paths, read_blobs(git_dir, oids), strict=True):
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        return Checkout(commit, folder, paths, skipped)

    def _list(self, repo: Repo, commit: str) -> tuple[Path, list[tuple[str, str, str]]]:
        """Where the commit is, and its files; a clone that lacks it is fetched once."""
        git_dir = self._git_dir(repo, fetch=False)
        try:
            return git_dir, list(list_files(git_dir, commit))
        except RepositoryError:
            if not _URL.match(repo.url):
                raise
        git_dir = self._git_dir(repo, fetch=True)
        return git_dir, list(list_files(git_dir, commit))

    def _git_dir(self, repo: Repo, *, fetch: bool) -> Path:
        if not _URL.match(repo.url):
            return local_git_dir(repo.url)
        clone = self._cache / hashlib.sha256(repo.url.encode()).hexdigest()[:32]
        if not (clone / "HEAD").exists():
            self._clone(repo.url, clone)
        elif fetch:
            run_git(["fetch", "--quiet", "--prune", "origin", "+refs/heads/*:refs/heads/*"], clone)
        return clone

    def _clone(self, url: str, clone: Path) -> None:
        """Clone aside and rename: nobody ever reads a clone that is not whole."""
        self._cache.mkdir(parents=True, exist_ok=True)
        aside = temporary_folder("clone", within=self._cache)
        try:
            run_git(["clone", "--bare", "--quiet", "--", url, str(aside)], None)
            # Refused when another worker has cloned it meanwhile, which is as good.
            with contextlib.suppress(OSError):
                aside.rename(clone)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def local_git_dir(path: str) -> Path:
    """The git folder of a local repository, bare or with a work tree.

    Raises: RepositoryError when it is none.
    """
    folder = Path(path.removeprefix("file://"))
    if not folder.is_absolute():
        raise RepositoryError(
            f"not a repository address: {path!r}", hint="use https://, ssh:// or an absolute folder"
        )
    if not folder.is_dir():
        raise RepositoryError(f"no such folder: {folder}")
    try:
        out = run_git(["rev-parse", "--absolute-git-dir", "--show-prefix"], folder, inside=True)
    except RepositoryError as error:
        raise RepositoryError(f"{folder} is not a git repository") from error
    git_dir, _, below_the_top = out[:-1].rpartition(b"\n")
    if below_the_top:
        raise RepositoryError(
            f"{folder} is not a git repository but a folder inside one", hint="name its top folder"
        )
    return Path(os.fsdecode(git_dir))


def list_files(git_dir: Path, commit: str) -> Iterator[tuple[str, str, str]]:
    """(mode, object id, path) of every file of a commit, in path order.

    Raises: RepositoryError for an unknown commit, or a path that is not UTF-8
    or leads outside of the site, which only a hostile repository has.
    """
    try:
        out = run_git(["ls-tree", "-r", "-z", "--full-tree", f"{commit}^{{commit}}"], git_dir)
    except RepositoryError as error:
        raise RepositoryError(f"no commit {commit} in {git_dir}") from error
    for line in out.split(b"\0")[:-1]:
        meta, _, path = line.partition(b"\t")
        mode, _, oid = meta.decode().split()
        if any(part in (b"", b".", b"..") for part in path.split(b"/")):
            raise RepositoryError(f"a path in commit {commit} is outside of the site: {path!r}")
        try:
            yield mode, oid, path.decode()
        except UnicodeDecodeError as error:
            raise RepositoryError(f"a path in commit {commit} is not UTF-8: {path!r}") from error


def read_blobs(git_dir: Path, oids: Sequence[str]) -> Iterator[bytes]:
    """The contents of git blobs, in order, through one `cat-file --batch`."""
    if not oids:
        return
    with subprocess.Popen(
        _command(["cat-file", "--batch"], git_dir),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=_environment(),
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            for oid in oids:
                process.stdin.write(f"{oid}\n".encode())
                process.stdin.flush()  # one at a time: neither pipe can ever fill up
                yield _one_blob(process.stdout, oid)
        finally:
            process.stdin.close()


def _one_blob(stdout: IO[bytes], oid: str) -> bytes:
    header = stdout.readline().split()
    if len(header) != 3:
        raise RepositoryError(f"git cannot read object {oid}")
    size = int(header[2])
    data = stdout.read(size)
    if len(data) != size or stdout.read(1) != b"\n":
        raise RepositoryError(f"git broke off reading object {oid}")
    return data


def _command(arguments: Sequence[str], git_dir: Path | None, *, inside: bool = False) -> list[str]:
    where = [] if git_dir is None else ["-C" if inside else "--git-dir", str(git_dir)]
    return ["git", "-c", "safe.directory=*", "-c", "protocol.ext.allow=never", *where, *arguments]


def _environment() -> dict[str, str]:
    """Ours, less what would point git elsewhere, with what keeps it quiet and harmless."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    return {**kept, **_HARMLESS}


def run_git(
    arguments: Sequence[str],
    git_dir: Path | None,
    *,
    inside: bool = False,
    stdin: bytes | None = None,
) -> bytes:
    """Run git and return what it printed. Raises: RepositoryError with git's last line."""
    try:
        done = subprocess.run(
            _command(arguments, git_dir, inside=inside),
            input=stdin if stdin is not None else b"",
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
            env=_environment(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RepositoryError(f"git {arguments[0]} did not run: {error}") from error
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise RepositoryError(
            f"git {arguments[0]} failed: {lines[-1] if lines else f'exit code {done.returncode}'}"
        )
    return done.stdout
