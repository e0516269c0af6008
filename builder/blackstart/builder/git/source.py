"""Where builds get their commits from: folders of this machine, and clones of remotes."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from blackstart.builder.git.checkout import Checkout, write_checkout
from blackstart.builder.git.clones import CloneCache
from blackstart.builder.git.local import common_dir, is_shallow, local_git_dir
from blackstart.builder.git.objects import (
    FULL_LENGTHS,
    CommitMissingError,
    UnreadableObjectError,
    check_commit_id,
    full_commit_id,
    list_files,
)
from blackstart.builder.git.run import TIMEOUT_S, run_git
from blackstart.errors import RepositoryError, UsageError
from blackstart.model import Repo
from blackstart.repositories import RepositoryPolicy

Found = tuple[Path, str, list[tuple[str, str, str]]]
"""Where a commit was found, its full id, and its files."""


class Source(Protocol):
    """Where commits come from: git, or in a drill git at a distance."""

    async def head(self, repo: Repo) -> str:
        """The commit at the tip of the repository's branch. Raises: RepositoryError."""
        ...

    async def checkout(self, repo: Repo, commit: str, folder: Path) -> Checkout:
        """Write the commit's files below `folder`, which is empty.

        `commit` may be cut to 7 or more digits. Raises: RepositoryError.
        """
        ...


class Git:
    """`Source` over the git command line.

    A folder is read in place. An https or ssh address is kept as a bare clone
    below `cache`, fetched whenever a head is asked for. `policy` is asked each
    time right before git runs, since a folder may have become a link since the
    site was made. `settings` are git's own, for remotes only (`http.sslCAInfo`).
    """

    def __init__(
        self,
        cache: Path,
        policy: RepositoryPolicy,
        *,
        settings: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._policy = policy
        self._clones = CloneCache(cache.absolute(), settings=settings, timeout_s=timeout_s)

    async def head(self, repo: Repo) -> str:
        return await asyncio.to_thread(self._head, repo)

    async def checkout(self, repo: Repo, commit: str, folder: Path) -> Checkout:
        return await asyncio.to_thread(self._checkout, repo, commit, folder)

    def _head(self, repo: Repo) -> str:
        git_dir = self._local(repo.url) or self._clones.fetched(repo.url)
        try:
            ref = f"refs/heads/{repo.branch}^{{commit}}"
            out = run_git(["rev-parse", "--verify", "--quiet", ref], git_dir)
        except RepositoryError as error:
            _raise_if_gone(repo, git_dir)
            raise RepositoryError(
                f"{repo.url} has no branch {repo.branch!r} with a commit"
            ) from error
        return out.decode().strip()

    def _checkout(self, repo: Repo, commit: str, folder: Path) -> Checkout:
        check_commit_id(commit)
        git_dir = self._local(repo.url)
        if git_dir is None:
            return self._checkout_remote(repo, commit, folder)
        try:
            return _written(_look_up(git_dir, commit), folder)
        except CommitMissingError as error:
            _raise_if_gone(repo, git_dir)
            raise _unknown(repo, commit, shallow=is_shallow(git_dir)) from error
        except RepositoryError:
            _raise_if_gone(repo, git_dir)
            raise

    def _checkout_remote(self, repo: Repo, commit: str, folder: Path) -> Checkout:
        try:
            try:
                return self._kept(repo, _written(self._find(repo, commit), folder))
            except (CommitMissingError, UnreadableObjectError) as error:
                damaged = isinstance(error, UnreadableObjectError)
                if not damaged and self._clones.is_sound(repo.url):
                    raise
            self._clones.make_anew(repo.url)
            shutil.rmtree(folder, ignore_errors=True)
            return self._kept(repo, _written(self._find(repo, commit), folder))
        except CommitMissingError as error:
            raise _unknown(repo, commit, shallow=False) from error

    def _kept(self, repo: Repo, checkout: Checkout) -> Checkout:
        self._clones.keep(repo.url, checkout.commit)
        return checkout

    def _find(self, repo: Repo, commit: str) -> Found:
        """In the clone as it is, else as it is after a fetch, else by asking for the commit.

        Raises: CommitMissingError, UnreadableObjectError, RepositoryError.
        """
        ways: list[Callable[[], object]] = [
            lambda: self._clones.present(repo.url),
            lambda: self._clones.fetched(repo.url),
        ]
        if len(commit) in FULL_LENGTHS:
            ways.append(lambda: self._fetch_commit(repo, commit))
        for way in ways:
            way()
            try:
                return _look_up(self._clones.present(repo.url), commit)
            except CommitMissingError as error:
                missing = error
        raise missing

    def _fetch_commit(self, repo: Repo, commit: str) -> None:
        try:
            self._clones.fetch_commit(repo.url, commit)
        except RepositoryError as error:
            # The branches came over a moment ago, so this is the server's no to the commit.
            raise CommitMissingError(error.message) from error

    def _local(self, url: str) -> Path | None:
        """The git folder of a local address; None for a remote. Raises: RepositoryError."""
        try:
            folder = self._policy.local_folder(url)
            if folder is None:
                return None
            git_dir = local_git_dir(folder)
            # A `.git` file may point anywhere, so where it leads is judged as well.
            for path in (git_dir, common_dir(git_dir)):
                self._policy.local_folder(str(path.resolve()))
        except UsageError as error:
            raise RepositoryError(error.message, hint=error.hint) from error
        return git_dir


def _look_up(git_dir: Path, commit: str) -> Found:
    full = full_commit_id(git_dir, commit)
    return git_dir, full, list(list_files(git_dir, full))


def _written(found: Found, folder: Path) -> Checkout:
    git_dir, commit, listed = found
    return write_checkout(git_dir, commit, listed, folder)


def _unknown(repo: Repo, commit: str, *, shallow: bool) -> RepositoryError:
    if shallow:
        hint = f"it is a shallow clone: run `git fetch --unshallow` in {repo.url}"
    else:
        hint = "push it there, or build the branch instead"
    return RepositoryError(f"no commit {commit} in {repo.url}", hint=hint)


def _raise_if_gone(repo: Repo, git_dir: Path) -> None:
    """Raises: RepositoryError when the folder was taken away under us."""
    if not git_dir.is_dir():
        raise RepositoryError(
            f"the repository {repo.url} went away during the build",
            hint="put it back and build again",
        )
