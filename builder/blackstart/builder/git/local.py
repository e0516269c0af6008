"""Repositories on this machine, which are read in place."""

from __future__ import annotations

import os
from pathlib import Path

from blackstart.builder.git.run import run_git
from blackstart.errors import RepositoryError


def local_git_dir(path: str | Path) -> Path:
    """The git folder of a local repository, bare or with a work tree.

    Raises: RepositoryError when it is none.
    """
    folder = Path(path)
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


def common_dir(git_dir: Path) -> Path:
    """Where the objects are: elsewhere for a linked work tree (gitrepository-layout, commondir)."""
    try:
        named = os.fsdecode((git_dir / "commondir").read_bytes()).rstrip("\n")
    except OSError:
        return git_dir
    return git_dir / named


def is_shallow(git_dir: Path) -> bool:
    """Whether the history is cut off."""
    return (common_dir(git_dir) / "shallow").exists()
