"""Bodies in files: a whole one written, a long one spooled as it comes, any of them read back."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from blackstart.cdn.storage.blocks import BLOCK_BYTES, Seal, open_body, read_blocks, seal_body
from blackstart.cdn.storage.files import Files
from blackstart.cdn.storage.intake import READ_BYTES
from blackstart.errors import StorageError


class Descriptor:
    """An open file, closed when nobody holds it any more: not under a thread that reads it."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)


def write_body(files: Files, path: Path, scratch: Path, key: str, number: int, body: bytes) -> None:
    """Write a body under a passing name and give it its place. Raises: OSError"""
    try:
        file = Descriptor(files.create(scratch))
        files.write(file.number, body + seal_body(key, number, body))
        files.rename(scratch, path)
    except OSError:
        scratch.unlink(missing_ok=True)
        raise


class BodyFile:
    """A body that can be read, block by block and checked. Runs in threads.

    Raises: OSError; StorageError when the body is torn, damaged or another's.
    """

    def __init__(self, path: Path, key: str, number: int, size: int) -> None:
        self._file = Descriptor(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        self._seal: Seal = open_body(self._file.number, key, number, size)
        self._size = size

    def read(self, first: int, end: int) -> bytes:
        return read_blocks(self._file.number, self._seal, self._size, first, end)


class BodyStream:
    """A long body from its file. `on_damage` hears when it cannot be read to its end."""

    def __init__(
        self, file: BodyFile, ahead: bytes, first: int, end: int, on_damage: Callable[[], None]
    ) -> None:
        self._file: BodyFile | None = file
        self._ahead = ahead
        self._first = first
        self._end = end
        self._on_damage = on_damage

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        file = self._file
        if file is None or self._first >= self._end:
            self._file = None
            raise StopAsyncIteration
        chunk, self._ahead = self._ahead, b""
        if not chunk:
            end = chunk_end(self._first, self._end)
            try:
                chunk = await asyncio.to_thread(file.read, self._first, end)
            except (OSError, StorageError) as error:
                self._file = None
                self._on_damage()
                raise StorageError(f"a cached body cannot be read: {error}") from error
        self._first += len(chunk)
        return chunk

    async def aclose(self) -> None:
        """Read no more."""
        self._file = None
        self._ahead = b""


def chunk_end(first: int, end: int) -> int:
    """Up to where a long body is read at once: whole blocks."""
    return min(end, (first // BLOCK_BYTES) * BLOCK_BYTES + READ_BYTES)


class SpoolFile:
    """The file under a spool; its methods run in the writer's thread, but for `read`."""

    def __init__(self, files: Files, scratch: Path, key: str, number: int) -> None:
        self._files = files
        self._scratch = scratch
        self._seal = Seal(key, number)
        self._block = bytearray()
        self._size = 0
        self._file: Descriptor | None = None
        self._failed = False

    def append(self, chunk: bytes) -> None:
        """Raises: OSError, and then always."""
        try:
            if self._failed:
                raise OSError("the body could not be written to its file")
            if self._file is None:
                self._file = Descriptor(self._files.create(self._scratch))
            self._files.write(self._file.number, chunk)
        except OSError:
            self._failed = True
            self.give_up()
            raise
        self._size += len(chunk)
        self._block += chunk
        whole = len(self._block) - len(self._block) % BLOCK_BYTES
        for offset in range(0, whole, BLOCK_BYTES):
            self._seal.add(self._block[offset : offset + BLOCK_BYTES])
        del self._block[:whole]

    def finish(self, path: Path) -> None:
        """The body is whole: give it its place. Raises: OSError"""
        if self._block:
            self._seal.add(self._block)
            self._block.clear()
        size = self._size
        self.append(self._seal.trailer(size))
        try:
            self._files.rename(self._scratch, path)
        except OSError:
            self._failed = True
            self.give_up()
            raise

    def give_up(self) -> None:
        """Nobody wants it. What is not removed now, the next start finds."""
        try:
            self._files.unlink(self._scratch)
        except OSError:
            self._failed = True

    def read(self, first: int, end: int) -> bytes:
        """Raises: OSError"""
        file = self._file
        if file is None:
            raise OSError("the body could not be written to its file")
        return os.pread(file.number, end - first, first)
