"""The system calls that change a cache folder, as an object: a test can make any of them fail."""

from __future__ import annotations

import os
from pathlib import Path


class Files:
    """Every call raises OSError as the system does."""

    def create(self, path: Path) -> int:
        """A fresh, empty file, open for reading and writing."""
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        return os.open(path, flags, 0o600)

    def write(self, descriptor: int, data: bytes) -> None:
        """Append all of `data`."""
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    def rename(self, source: Path, target: Path) -> None:
        """Give a file its place, making the folders that lead there."""
        try:
            os.rename(source, target)
        except FileNotFoundError:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.rename(source, target)

    def unlink(self, path: Path) -> None:
        """Remove a file, if it is there."""
        path.unlink(missing_ok=True)

    def about_to_commit(self) -> None:
        """Called before the index commits what goes with the files."""

    def committed(self) -> None:
        """Called after it has."""
