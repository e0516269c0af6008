"""The git side of a fleet: one real bare repository per site, made in a single git process.

All generated commits go into one pack through `git fast-import`; each site's
repository borrows it (`objects/info/alternates`) and has a branch of its own.
A push is then what it is in git: the branch moves to another commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from blackstart.builder.config import read_config
from blackstart.builder.files import published_files
from blackstart.builder.git import list_files, local_git_dir, run_git, write_checkout
from blackstart.errors import RepositoryError, UsageError
from blackstart.process import remove_folder, temporary_folder

BRANCH = "main"
USER_COMMITS = 3


@dataclass(frozen=True)
class Commit:
    """One commit: its id, and the git blob id of every file that gets published."""

    id: str
    files: Mapping[str, str]


class CommitStream:
    """Collects commits of many sites for one `git fast-import`."""

    def __init__(self) -> None:
        self._parts: list[bytes] = [b"feature done\n"]
        self.count = 0

    def add(self, site: str, changed: Mapping[str, bytes], *, time_s: int, message: str) -> None:
        """One more commit on the site's line: `changed` files over those of its last commit."""
        self.count += 1
        text = message.encode()
        self._parts.append(
            b"commit refs/sites/%s\nmark :%d\n"
            b"committer Site owner <owner@%s.example> %d +0000\ndata %d\n%s\n"
            % (site.encode(), self.count, site.encode(), time_s, len(text), text)
        )
        for path, data in changed.items():
            self._parts.append(b"M 100644 inline %s\ndata %d\n" % (path.encode(), len(data)))
            self._parts.append(data)
            self._parts.append(b"\n")

    def run(self, folder: Path) -> list[str]:
        """Import all into a bare repository at `folder`; the commit ids in the order added.

        Raises: RepositoryError.
        """
        _bare(folder)
        marks = folder / "marks"
        stream, self._parts = b"".join(self._parts) + b"done\n", []
        arguments = ["-c", "fastimport.unpackLimit=0", "fast-import", "--quiet"]
        run_git([*arguments, f"--export-marks={marks}"], folder, stdin=stream)
        ids = [""] * self.count
        for line in marks.read_text().splitlines():
            mark, commit = line.split()
            ids[int(mark[1:]) - 1] = commit
        return ids


def make_repository(folder: Path, objects: Path, head: str, object_format: str = "sha1") -> None:
    """A bare repository that borrows `objects`, its branch at `head`."""
    _bare(folder, object_format)
    (folder / "objects" / "info").mkdir()
    (folder / "objects" / "info" / "alternates").write_text(f"{objects}\n")
    move_branch(folder, head)


def move_branch(folder: Path, commit: str) -> None:
    """What a `git push` does to the branch, written as git does: aside, then renamed."""
    ref = folder / "refs" / "heads" / BRANCH
    lock = ref.with_suffix(".lock")
    lock.write_text(f"{commit}\n")
    lock.rename(ref)


def _bare(folder: Path, object_format: str = "sha1") -> None:
    """What `git init --bare` makes, without a process for each."""
    (folder / "objects" / "pack").mkdir(parents=True)
    (folder / "refs" / "heads").mkdir(parents=True)
    (folder / "HEAD").write_text(f"ref: refs/heads/{BRANCH}\n")
    version = 0 if object_format == "sha1" else 1
    config = f"[core]\n\trepositoryformatversion = {version}\n\tbare = true\n"
    if version:
        config += f"[extensions]\n\tobjectFormat = {object_format}\n"
    (folder / "config").write_text(config)


@dataclass(frozen=True)
class UserRepository:
    """A repository of the user's own: its objects, never written to, and its newest commits."""

    name: str
    objects: Path
    object_format: str
    commits: Sequence[Commit]


def read_user_repository(path: str) -> UserRepository:
    """Look at a repository before anything is started.

    Raises: UsageError, in one line, when it is none, or has no commit or no
    file to publish.
    """
    folder = Path(path).expanduser().absolute()
    try:
        git_dir = local_git_dir(str(folder))
    except RepositoryError as error:
        raise UsageError(f"--repo {path}: {error.message}") from error
    try:
        ids = run_git(["rev-list", f"-{USER_COMMITS}", "--first-parent", "HEAD"], git_dir)
        commits = [_published(git_dir, commit) for commit in ids.decode().split()]
    except RepositoryError as error:
        raise UsageError(f"--repo {path}: it has no readable commit", hint=error.message) from error
    commits = [commit for commit in commits if commit.files]
    if not commits:
        raise UsageError(
            f"--repo {path}: its newest commits have no file to publish",
            hint="a drill runs no build command, so a publish folder has to be in the commit",
        )
    objects = run_git(["rev-parse", "--git-path", "objects"], git_dir).decode().rstrip("\n")
    found = run_git(["rev-parse", "--show-object-format"], git_dir).decode().strip()
    return UserRepository(
        _host_label(folder), (git_dir / objects).absolute(), found, list(reversed(commits))
    )


def _published(git_dir: Path, commit: str) -> Commit:
    """The oracle's reading of a commit: git's own blob ids, by the builder's rule which count.

    Build commands are off in a drill, so what the commit itself holds is all there is.
    """
    listed = list(list_files(git_dir, commit))
    ids = {path: oid for _, oid, path in listed}
    folder = temporary_folder("look")
    try:
        write_checkout(git_dir, commit, listed, folder)
        sources = _sources(folder)
    finally:
        remove_folder(folder)
    return Commit(commit, {path: ids[source] for path, source in sorted(sources.items())})


def _sources(folder: Path) -> Mapping[str, str]:
    """Published path -> file of the checkout; none for a commit whose build would fail."""
    try:
        return published_files(folder, read_config(folder)).sources
    except RepositoryError:
        return {}


def _host_label(folder: Path) -> str:
    name = folder.name.removesuffix(".git").lower()
    label = "".join(char if char.isascii() and char.isalnum() else "-" for char in name)
    return "-".join(part for part in label.split("-") if part)[:40] or "repository"
