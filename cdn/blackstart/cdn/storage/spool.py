"""A body that goes to a file as it comes, and can be read meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from blackstart.cdn.storage.bodyfile import SpoolFile
from blackstart.cdn.storage.jobs import Append, Remove
from blackstart.errors import StorageError


class DiskSpool:
    """`written` and `failed` follow on the loop what the writer's thread does."""

    def __init__(
        self,
        file: SpoolFile,
        number: int,
        submit: Callable[[Append | Remove], None],
        on_progress: Callable[[], None],
    ) -> None:
        self.file = file
        self.number = number
        self.written = 0
        self.failed = False
        self.kept = False
        self._submit = submit
        self._on_progress = on_progress
        self._loop = asyncio.get_running_loop()

    def write(self, chunk: bytes) -> None:
        """Append soon."""
        self._submit(Append(self.file, chunk, self._heard))

    async def read(self, first: int, end: int) -> bytes:
        """Some bytes from `first`, before `end`, of those written. Raises: StorageError"""
        try:
            return await asyncio.to_thread(self.file.read, first, end)
        except OSError as error:
            raise StorageError(f"a body on its way cannot be read: {error}") from error

    def close(self) -> None:
        """Nobody writes or reads any more; unless it was kept, the file goes."""
        if not self.kept:
            self._submit(Remove(self.file))

    def _heard(self, count: int) -> None:
        """Called by the writer."""
        self._loop.call_soon_threadsafe(self._progressed, count)

    def _progressed(self, count: int) -> None:
        if count < 0:
            self.failed = True
        else:
            self.written += count
        self._on_progress()
