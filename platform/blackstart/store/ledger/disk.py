"""What a ledger does to a local folder, as an object that a test can replace."""

from __future__ import annotations

import os
from io import FileIO
from pathlib import Path
from typing import Protocol

from blackstart.durable import fsync_folder


class OpenFile(Protocol):
    """A file that takes bytes at its end. Raises (all methods): OSError."""

    def write(self, data: bytes) -> None:
        """Append all of it; when this raises, part of it may stand there."""
        ...

    def truncate(self, size: int) -> None: ...

    def sync(self) -> None:
        """Make durable what was written and cut off."""
        ...

    def linked(self) -> bool:
        """Whether the file still has a name: one that was deleted takes bytes all the same."""
        ...

    def close(self) -> None: ...


class Disk(Protocol):
    """One folder. Raises (all methods): OSError."""

    def names(self) -> list[str]:
        """Of all its files, sorted."""
        ...

    def read(self, name: str) -> bytes: ...

    def create(self, name: str) -> OpenFile:
        """A new, empty file."""
        ...

    def open(self, name: str) -> OpenFile:
        """An existing one."""
        ...

    def remove(self, name: str) -> None: ...

    def sync(self) -> None:
        """Make durable which files there are."""
        ...


class LocalDisk:
    """`Disk` over a folder of this machine; it must exist."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        return sorted(os.listdir(self.folder))

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def create(self, name: str) -> OpenFile:
        # Lines tell what was done with which values: they are nobody else's.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        return LocalFile(FileIO(os.open(self.folder / name, flags, 0o600), "wb"))

    def open(self, name: str) -> OpenFile:
        # Not "ab", which would make a file that is gone.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
        return LocalFile(FileIO(os.open(self.folder / name, flags), "ab"))

    def remove(self, name: str) -> None:
        os.unlink(self.folder / name)

    def sync(self) -> None:
        fsync_folder(self.folder)


class LocalFile:
    """`OpenFile` over a descriptor."""

    def __init__(self, file: FileIO) -> None:
        self._file = file

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]

    def truncate(self, size: int) -> None:
        self._file.truncate(size)
        self._file.seek(size)

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def linked(self) -> bool:
        return os.fstat(self._file.fileno()).st_nlink > 0

    def close(self) -> None:
        self._file.close()
