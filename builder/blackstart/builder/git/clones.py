"""A cache of bare clones, one per remote address, shared by all workers of a machine."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from blackstart.builder.git.run import run_git, run_git_over_network
from blackstart.errors import RepositoryError

KEPT = "refs/blackstart"
"""Below it is a ref for every commit that was built, so that no git throws it away."""
_ALL_BRANCHES = "+refs/heads/*:refs/heads/*"


class CloneCache:
    """Clones below `folder`: `<digest of the address>/{clone.git,lock}`.

    Whatever changes a clone holds its lock, which the kernel lets go when the
    holder dies. Reading needs none: git's objects never change, and none are
    thrown away.
    """

    def __init__(
        self, folder: Path, *, settings: Mapping[str, str] | None = None, timeout_s: float
    ) -> None:
        self._folder = folder
        self._settings = dict(settings or {})
        self._timeout_s = timeout_s

    def present(self, url: str) -> Path:
        """The clone as it is; made if there is none. Raises: RepositoryError."""
        clone = self._path(url)
        if not (clone / "HEAD").exists():
            with self._locked(url):
                self._make_if_missing(url)
        return clone

    def fetched(self, url: str) -> Path:
        """The clone with the branches that the remote has now. Raises: RepositoryError."""
        with self._locked(url):
            if self._make_if_missing(url):
                return self._path(url)
            try:
                self._fetch(url, _ALL_BRANCHES, "--prune")
            except RepositoryError:
                if self._is_sound(url):
                    raise
                self._make(url)
        return self._path(url)

    def fetch_commit(self, url: str, commit: str) -> None:
        """Ask for a commit that no branch leads to; many servers still give it.

        Raises: RepositoryError.
        """
        with self._locked(url):
            self._fetch(url, f"{commit}:{KEPT}/{commit}")

    def keep(self, url: str, commit: str) -> None:
        """Hold on to a commit even if its branch is moved away from it. Raises: RepositoryError."""
        clone = self._path(url)
        if not (clone / KEPT / commit).exists():
            with self._locked(url):
                run_git(["update-ref", f"{KEPT}/{commit}", commit], clone)

    def is_sound(self, url: str) -> bool:
        """Whether everything that the clone's refs lead to is there."""
        with self._locked(url):
            return self._is_sound(url)

    def make_anew(self, url: str) -> None:
        """Throw the clone away and clone again. Raises: RepositoryError."""
        with self._locked(url):
            self._make(url)

    def _path(self, url: str) -> Path:
        return self._home(url) / "clone.git"

    def _home(self, url: str) -> Path:
        return self._folder / hashlib.sha256(url.encode()).hexdigest()[:32]

    @contextmanager
    def _locked(self, url: str) -> Iterator[None]:
        home = self._home(url)
        try:
            home.mkdir(parents=True, exist_ok=True)
            lock = open(home / "lock", "ab")  # noqa: SIM115 (closed below)
        except OSError as error:
            raise RepositoryError(
                f"cannot use the clone cache {self._folder}: {error.strerror}",
                hint="see BLACKSTART_GIT_CACHE",
            ) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _make_if_missing(self, url: str) -> bool:
        if (self._path(url) / "HEAD").exists():
            return False
        self._make(url)
        return True

    def _make(self, url: str) -> None:
        """Clone aside and rename: nobody ever reads a clone that is not whole."""
        aside, old = self._home(url) / "making.git", self._home(url) / "old.git"
        clone = self._path(url)
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
        try:
            arguments = ["clone", "--bare", "--quiet", "--no-tags", "--template="]
            self._over_network([*arguments, "--", url, str(aside)], None)
            if clone.exists():
                clone.rename(old)
            aside.rename(clone)
        except OSError as error:
            raise RepositoryError(f"cannot keep a clone of {url}: {error.strerror}") from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)

    def _fetch(self, url: str, refs: str, *options: str) -> None:
        clone = self._path(url)
        _clear_leftovers(clone)
        whole = ["--unshallow"] if (clone / "shallow").exists() else []
        arguments = ["fetch", "--quiet", "--no-tags", *options, *whole, "--", url, refs]
        self._over_network(arguments, clone)

    def _over_network(self, arguments: list[str], git_dir: Path | None) -> None:
        run_git_over_network(arguments, git_dir, settings=self._settings, timeout_s=self._timeout_s)

    def _is_sound(self, url: str) -> bool:
        try:
            check = ["fsck", "--connectivity-only", "--no-dangling", "--no-progress"]
            run_git(check, self._path(url), timeout_s=self._timeout_s)
        except RepositoryError:
            return False
        return True


def _clear_leftovers(clone: Path) -> None:
    """Remove what a git that was killed left behind; we hold the lock, so nobody uses it."""
    for pattern in ("*.lock", "refs/**/*.lock", "objects/pack/tmp_*", "objects/incoming-*"):
        for path in clone.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    path.unlink()
