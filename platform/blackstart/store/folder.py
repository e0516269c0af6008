"""Durable writes below a folder: temporary file, fsync, rename, fsync of the folder.

`obstore` renames too but leaves the bytes to the page cache, so that after a
power failure a digest can stand there with an empty file under it. What a
write here has returned from is on the disk, as it is with S3.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import AsyncIterable, Iterable
from contextlib import suppress
from io import FileIO
from pathlib import Path

from blackstart.durable import fsync_folder, make_folder
from blackstart.errors import UsageError
from blackstart.store.threads import in_thread

WRITE_BYTES = 1024 * 1024
"""What a stream gathers before it goes to a thread and to the disk."""

# What obstore takes as it is; it would write other characters in another way.
_KEY = re.compile(r"(?!\.)[A-Za-z0-9._=-]+(?:/(?!\.)[A-Za-z0-9._=-]+)*")
_numbers = itertools.count(os.getpid() * 1_000_000)


class Folder:
    """Objects as files below `root`, by key; reading them is left to obstore.

    Raises (all methods): StorageError when the disk fails; nothing is left behind then.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    async def write(self, key: str, data: bytes) -> None:
        """Store bytes under a key, replacing what is there."""
        file = _NewFile(self._path(key))
        await in_thread(f"cannot write {key}", file.write_whole, data)

    async def write_new(self, key: str, data: bytes) -> bool:
        """Store bytes under a key that has none; False, and nothing changed, when it has."""
        file = _NewFile(self._path(key))
        return await in_thread(f"cannot write {key}", file.write_only_new, data)

    async def write_stream(self, key: str, chunks: AsyncIterable[bytes]) -> None:
        """Store what `chunks` gives, once it has ended well.

        A file of the same size under this key is taken for the same bytes, so
        use it for keys that are digests. What `chunks` raises is passed on.
        """
        failure = f"cannot write {key}"
        file = _NewFile(self._path(key))
        part = bytearray()
        try:
            async for chunk in chunks:
                part += chunk
                if len(part) >= WRITE_BYTES:
                    await in_thread(failure, file.write, bytes(part))
                    part.clear()
            await in_thread(failure, file.finish, bytes(part))
        finally:
            await in_thread(failure, file.discard)

    async def sizes(self, keys: Iterable[str]) -> dict[str, int]:
        """The sizes in bytes of those that exist: one thread asks for all of them."""
        paths = {key: self._path(key) for key in keys}
        return await in_thread("cannot look up objects", _sizes, paths)

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise UsageError(f"not an object's key: {key!r}")
        return self._root / key


class _NewFile:
    """A file that appears under its name only when it is whole. Its methods block."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: FileIO | None = None

    def write_whole(self, data: bytes) -> None:
        try:
            self.write(data)
            self._commit()
        finally:
            self.discard()

    def write_only_new(self, data: bytes) -> bool:
        try:
            self.write(data)
            assert self._file is not None
            os.fsync(self._file.fileno())
            # Unlike a rename, a link never replaces what is there.
            os.link(self._file.name, self._path)
        except FileExistsError:
            return False
        finally:
            self.discard()
        fsync_folder(self._path.parent)
        return True

    def write(self, data: bytes) -> None:
        self._file = self._file or self._open()
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]

    def finish(self, last: bytes) -> None:
        """Write the rest and commit, unless a file of this size is there."""
        self.write(last)
        assert self._file is not None
        if _size(self._path) != self._file.tell():
            self._commit()

    def discard(self) -> None:
        """Take away what was not committed."""
        if self._file is not None:
            self._file.close()
            os.unlink(self._file.name)
            self._file = None

    def _commit(self) -> None:
        assert self._file is not None
        os.fsync(self._file.fileno())
        os.rename(self._file.name, self._path)
        self._file.close()
        self._file = None
        fsync_folder(self._path.parent)

    def _open(self) -> FileIO:
        make_folder(self._path.parent)
        while True:
            # Obstore names unfinished files so too, with a number behind a hash, and lists none.
            with suppress(FileExistsError):
                return FileIO(f"{self._path}#{next(_numbers)}", "xb")


def _sizes(paths: dict[str, Path]) -> dict[str, int]:
    found = {key: _size(path) for key, path in paths.items()}
    return {key: size for key, size in found.items() if size is not None}


def _size(path: Path) -> int | None:
    try:
        return os.stat(path).st_size
    except (FileNotFoundError, NotADirectoryError):
        return None
