"""Reading a folder whose content nobody vouches for: nothing outside of it is ever opened."""

from __future__ import annotations

import errno
import os
import re
import stat
from io import BufferedReader
from pathlib import Path

from blackstart.errors import RepositoryError

_OF_GIT = re.compile(r"(^|/)\.git", re.IGNORECASE)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK


def is_of_git(path: str) -> bool:
    """Whether a path is git's own business (.git, .gitignore, .github/...), never a site's."""
    return _OF_GIT.search(path) is not None


def shown(path: str) -> str:
    """A path as a line of a log can hold it."""
    return path if path.isprintable() else ascii(path)


def open_file(folder: Path, path: str) -> BufferedReader:
    """Open a regular file below `folder`; no part of `path` may be a link.

    Each part is opened by itself, so a folder that is swapped for a link
    meanwhile is not walked through. Raises: RepositoryError.
    """
    *parents, name = path.split("/")
    try:
        at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for parent in parents:
                below = os.open(parent, _FOLDER, dir_fd=at)
                os.close(at)
                at = below
            file = os.open(name, _FILE, dir_fd=at)
        finally:
            os.close(at)
    except OSError as error:
        link = error.errno in (errno.ELOOP, errno.EMLINK)
        reason = "it is, or lies behind, a symbolic link" if link else error.strerror
        raise RepositoryError(f"cannot read {shown(path)}: {reason}") from error
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise RepositoryError(f"cannot read {shown(path)}: it is not a regular file")
    return open(file, "rb")
