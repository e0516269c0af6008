"""Writes the files of a commit into an empty folder, and nothing outside of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from blackstart.builder.git.objects import read_blobs
from blackstart.builder.links import LinkError, follow
from blackstart.builder.tree import is_of_git, shown
from blackstart.errors import RepositoryError

_FILES = ("100644", "100755")
_LINK = "120000"
_MAX_TARGET = 4096


@dataclass(frozen=True)
class Checkout:
    """The files of one commit in a folder; `skipped` says what was left out and why.

    `commit` is the full id, `paths` are the regular files and the links that were written.
    """

    commit: str
    folder: Path
    paths: list[str]
    skipped: list[str]


def write_checkout(
    git_dir: Path, commit: str, listed: Sequence[tuple[str, str, str]], folder: Path
) -> Checkout:
    """Write what `list_files` listed. Links come last, so nothing is written through one.

    Raises: RepositoryError.
    """
    entries = [entry for entry in listed if not is_of_git(entry[2])]
    files = [entry for entry in entries if entry[0] in _FILES]
    links = [entry for entry in entries if entry[0] == _LINK]
    skipped = [
        f"{shown(path)}: a submodule is not published"
        for mode, _, path in entries
        if mode not in (*_FILES, _LINK)
    ]
    contents = read_blobs(git_dir, [oid for _, oid, _ in files])
    for (mode, _, path), data in zip(files, contents, strict=True):
        _write(folder, path, data, executable=mode == "100755")
    targets = {
        path: os.fsdecode(data)
        for (_, _, path), data in zip(
            links, read_blobs(git_dir, [oid for _, oid, _ in links]), strict=True
        )
    }
    written = _write_links(folder, targets, skipped)
    paths = [path for _, _, path in files] + written
    return Checkout(commit, folder, sorted(paths), sorted(skipped))


def _write(folder: Path, path: str, data: bytes, *, executable: bool) -> None:
    target = folder / path
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with open(os.open(target, flags, 0o755 if executable else 0o644), "wb") as file:
            file.write(data)
    except (FileExistsError, NotADirectoryError) as error:
        raise RepositoryError(f"the commit holds two things called {shown(path)}") from error
    except OSError as error:
        raise RepositoryError(f"cannot write {shown(path)}: {error.strerror}") from error


def _write_links(folder: Path, targets: Mapping[str, str], skipped: list[str]) -> list[str]:
    written = []
    for path, target in targets.items():
        try:
            _make_link(folder, path, target, targets)
        except LinkError as error:
            skipped.append(f"{shown(path)}: a symbolic link that {error}")
        else:
            written.append(path)
    return written


def _make_link(folder: Path, path: str, target: str, targets: Mapping[str, str]) -> None:
    """Raises: LinkError when it, or any link that it passes, leaves the folder."""
    if len(target) > _MAX_TARGET or "\0" in target or not target:
        raise LinkError("leads nowhere")
    follow(path, targets.get)
    link = folder / path
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        # Its own place may lie behind another link only in a commit that git would not make.
        if link.parent.resolve() != folder.resolve() / os.path.dirname(path):
            raise LinkError("lies behind another link")
        link.symlink_to(target)
    except OSError as error:
        raise LinkError(f"cannot be made: {error.strerror}") from error
