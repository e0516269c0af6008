"""A body on its way in: one writer, and readers who each go at their own pace."""

from __future__ import annotations

from collections.abc import Callable

from blackstart.clock import Clock
from blackstart.errors import HopError

WINDOW_BYTES = 1024 * 1024
PATIENCE_S = 1.0
"""How long a body that cannot be kept waits for its first reader."""


class Intake:
    """Gathers a body while readers follow it from its first byte.

    Kept whole up to `limit_bytes`. A longer one can't be kept: what all readers
    have seen is let go, nobody new may follow, and the writer waits while the
    slowest reader is more than `WINDOW_BYTES` behind.
    """

    def __init__(self, clock: Clock, limit_bytes: int, on_commit: Callable[[bytes], bool]) -> None:
        self._clock = clock
        self._limit_bytes = limit_bytes
        self._on_commit = on_commit
        self._chunks: list[bytes] = []
        self._let_go = 0
        self._held_bytes = 0
        self._size = 0
        self._readers: dict[Follower, None] = {}
        self._moved = clock.event()
        self._room = clock.event()
        self.is_kept = True
        self.is_complete = False
        self.error: HopError | None = None

    def write(self, chunk: bytes) -> None:
        """Take the next piece."""
        if chunk:
            self._chunks.append(chunk)
            self._held_bytes += len(chunk)
            self._size += len(chunk)
            if self._size > self._limit_bytes:
                self.is_kept = False
            self._wake()

    async def drain(self) -> None:
        """Wait until there is room for more.

        Raises: HopError when nobody wants what cannot be kept.
        """
        if self.is_kept:
            return
        self._forget()
        while self._held_bytes > WINDOW_BYTES:
            self._room.clear()
            if not self._readers and not await self._room.wait(PATIENCE_S):
                raise HopError("nobody reads this body any more")
            if self._readers and self._held_bytes > WINDOW_BYTES:
                await self._room.wait()
            self._forget()

    def commit(self) -> bool:
        """It is whole: keep it. False when it is not kept."""
        self.is_complete = True
        kept = self.is_kept and self._on_commit(b"".join(self._chunks))
        self._wake()
        return kept

    def abort(self, error: HopError) -> None:
        """It broke off: nothing is kept, and those who follow hear of it."""
        if not self.is_complete:
            self.error = error
            self._wake()

    def follow(self) -> Follower:
        """A reader, from the first byte on.

        Raises: HopError when that is gone already.
        """
        if self._let_go:
            raise HopError("the beginning of this body has gone by")
        follower = Follower(self)
        self._readers[follower] = None
        self._room.set()
        return follower

    @property
    def may_be_followed(self) -> bool:
        """Whether a new reader would get all of it."""
        return self._let_go == 0 and self.error is None

    def _wake(self) -> None:
        moved, self._moved = self._moved, self._clock.event()
        moved.set()

    def _forget(self) -> None:
        """Let go of what every reader has seen."""
        seen = min([reader.position for reader in self._readers], default=0)
        while self._let_go < seen:
            chunk = self._chunks[self._let_go]
            self._chunks[self._let_go] = b""
            self._held_bytes -= len(chunk)
            self._let_go += 1

    async def _next(self, reader: Follower) -> bytes | None:
        while reader.position >= len(self._chunks):
            if self.error is not None:
                raise self.error
            if self.is_complete:
                return None
            await self._moved.wait()
        chunk = self._chunks[reader.position]
        reader.position += 1
        self._room.set()
        return chunk

    def _leave(self, reader: Follower) -> None:
        self._readers.pop(reader, None)
        self._room.set()


class Follower:
    """One reader of an intake."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self.position = 0

    def __aiter__(self) -> Follower:
        return self

    async def __anext__(self) -> bytes:
        chunk = await self._intake._next(self)
        if chunk is None:
            await self.aclose()
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        self._intake._leave(self)
