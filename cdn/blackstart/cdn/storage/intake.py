"""A body on its way into the cache: one writer, many readers, each at its own pace."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from blackstart.cdn.storage.entry import Entry
from blackstart.cdn.storage.fetch import Fetch
from blackstart.clock import Clock, Event
from blackstart.errors import HopError, StorageError

WINDOW_BYTES = 1024 * 1024
READ_BYTES = 256 * 1024
PATIENCE_S = 5.0
"""For how long one reader that takes nothing may hold up others."""


class Spool(Protocol):
    """A file that grows with a body and can be read meanwhile."""

    written: int
    failed: bool

    def write(self, chunk: bytes) -> None: ...

    async def read(self, first: int, end: int) -> bytes:
        """Some bytes from `first`, before `end`, of those written. Raises: StorageError"""
        ...

    def close(self) -> None:
        """Nobody writes or reads any more."""
        ...


class Keeper(Protocol):
    """What a cache does for its intakes."""

    def store(self, entry: Entry, fetch: Fetch, body: bytes) -> bool: ...

    def store_spool(self, entry: Entry, fetch: Fetch, spool: Spool) -> bool: ...

    def spool(self, entry: Entry, on_progress: Callable[[], None]) -> Spool | None: ...


class Intake:
    """One body as it arrives; `entry.size` is set when it is committed.

    Up to `gather_bytes` are gathered in memory. A longer body goes to a file as
    it arrives, if the disk takes up to `limit_bytes`; readers that fell behind
    read the file. One that cannot be kept goes through a window: the writer
    waits for the slowest reader, and nobody new can join. Who takes nothing for
    `PATIENCE_S` while others wait is cut off.
    """

    def __init__(
        self,
        keeper: Keeper,
        clock: Clock,
        entry: Entry,
        fetch: Fetch,
        *,
        length: int | None,
        gather_bytes: int,
        limit_bytes: int,
    ) -> None:
        self.entry = entry
        self.fetch = fetch
        self.length = length
        self.size = 0
        self._keeper = keeper
        self._clock = clock
        self._gather_bytes = gather_bytes
        self._limit_bytes = limit_bytes
        self._chunks: deque[bytes] = deque()
        self._first = 0  # The index of the first chunk that is still here, counted from the start,
        self._start = 0  # and where in the body it begins.
        self._spool: Spool | None = None
        self._keeps = length is None or length <= limit_bytes
        self._error: HopError | None = None
        self._done = False
        self._followers: dict[Follower, None] = {}
        self._room: Event | None = None

    @property
    def joinable(self) -> bool:
        """Whether somebody new can still read from the first byte."""
        if self._error is not None or self.fetch.outdates(self.entry.tags):
            return False
        return self._start == 0 or (self._spool is not None and not self._spool.failed)

    @property
    def keeps(self) -> bool:
        """Whether what has come so far, and is announced, is not more than the cache takes."""
        return self._keeps

    @property
    def followers(self) -> int:
        """How many read."""
        return len(self._followers)

    def write(self, chunk: bytes) -> None:
        """Take the next bytes of the body. `drain` now and then, or memory fills up."""
        assert not self._done and self._error is None, "the intake is over"
        if not chunk:
            return
        self.size += len(chunk)
        self._chunks.append(chunk)
        if self._keeps and self.size > self._limit_bytes:
            self._keeps = False
        if self._spool is not None:
            if self._keeps:
                self._spool.write(chunk)
        elif self._keeps and self.size > self._gather_bytes:
            self._spill()
        self._shrink()
        self._wake()

    async def drain(self) -> None:
        """Wait until there is room for more, on the disk or else with the slowest reader."""
        while self._is_full():
            if self._room is None:
                self._room = self._clock.event()
            self._room.clear()
            if not await self._room.wait(PATIENCE_S):
                self._cut_off_the_slowest()

    def commit(self) -> bool:
        """The body is whole: keep it. False when it is not kept; who reads gets all of it anyway.

        A body that is not as long as announced is an error for all who read it.
        """
        if self.length is not None and self.size != self.length:
            self.abort(HopError(f"the origin announced {self.length} bytes and sent {self.size}"))
            return False
        kept = False
        self.entry.size = self.size  # Also of one that is not kept: who reads it is told.
        if self._keeps:
            if self._spool is not None:
                kept = self._keeper.store_spool(self.entry, self.fetch, self._spool)
            else:
                kept = self._keeper.store(self.entry, self.fetch, b"".join(self._chunks))
        self._done = True
        self._wake()
        self._let_go()
        return kept

    def abort(self, error: Exception) -> None:
        """The body ends here, torn: nothing is kept and all who read it hear of it."""
        if self._done or self._error is not None:
            return
        known = error if isinstance(error, HopError) else HopError(str(error))
        # Its traceback has the writer's frames, whose last chunk would stay for as long as this.
        self._error = known.with_traceback(None)
        self._chunks.clear()
        self._wake()
        self._let_go()

    def follow(self) -> Follower:
        """The body from its first byte, for one more reader.

        Raises: StorageError when its first bytes are gone already; ask `joinable`.
        """
        if self._start and self._spool is None:
            raise StorageError("the first bytes of this body are gone")
        follower = Follower(self)
        self._followers[follower] = None
        return follower

    def _spill(self) -> None:
        self._spool = self._keeper.spool(self.entry, self._progressed)
        if self._spool is None:
            self._keeps = False
            return
        for chunk in self._chunks:
            self._spool.write(chunk)

    def _is_full(self) -> bool:
        return (
            not (self._done or self._error is not None)
            and self.size - self._start > WINDOW_BYTES
            and (self._spool is not None or not self._keeps)
        )

    def _shrink(self) -> None:
        """Let go of the chunks that nobody needs here any more."""
        if self._keeps and self._spool is None:
            return
        spool = self._spool
        if spool is not None and spool.failed:
            self._keeps = False
        if spool is not None and self._keeps:
            # Who reads finds the newest bytes here; where nobody does, the file is enough.
            recent = WINDOW_BYTES // 2 if self._followers else 0
            safe = min(spool.written, self.size - recent)
        else:
            safe = min([follower.position for follower in self._followers], default=self.size)
        while self._chunks and self._start + len(self._chunks[0]) <= safe:
            self._start += len(self._chunks.popleft())
            self._first += 1
        if self._room is not None and not self._is_full():
            self._room.set()

    def _cut_off_the_slowest(self) -> None:
        """Let nobody hold up those who have read nearly all that came."""
        positions = [follower.position for follower in self._followers]
        if self._keeps or max(positions, default=0) < self.size - WINDOW_BYTES // 2:
            return
        slowest = min(positions)
        for follower in [each for each in self._followers if each.position == slowest]:
            follower.is_cut_off = True
            self._left(follower)

    def _progressed(self) -> None:
        """The file has grown, or failed."""
        self._shrink()

    def _wake(self) -> None:
        for follower in self._followers:
            follower.wake()
        if self._room is not None and not self._is_full():
            self._room.set()

    def _left(self, follower: Follower) -> None:
        if self._followers.pop(follower, self) is None:
            self._shrink()
            self._let_go()

    def _let_go(self) -> None:
        over = self._done or self._error is not None
        if over and not self._followers and self._spool is not None:
            self._spool.close()
            self._spool = None


class Follower:
    """One reader of an intake. Read it to its end, or `aclose` it: a writer may wait for it."""

    def __init__(self, intake: Intake) -> None:
        self.position = 0
        self.is_cut_off = False
        self._index = 0
        self._intake = intake
        self._news: Event | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        intake = self._intake
        while True:
            if self.is_cut_off:
                raise HopError("this reader took nothing while others waited for more")
            if intake._error is not None:
                intake._left(self)
                raise HopError(intake._error.message, hint=intake._error.hint)
            if self.position < intake._start:
                chunk = await self._from_spool()
                if chunk:
                    return chunk
                continue
            if self.position == intake._start:
                self._index = intake._first
            offset = self._index - intake._first
            if offset < len(intake._chunks):
                return self._from_memory(intake._chunks[offset])
            if intake._done:
                intake._left(self)
                raise StopAsyncIteration
            if self._news is None:
                self._news = intake._clock.event()
            self._news.clear()
            await self._news.wait()

    async def aclose(self) -> None:
        """Read no more."""
        self._intake._left(self)

    def wake(self) -> None:
        if self._news is not None:
            self._news.set()

    def _from_memory(self, chunk: bytes) -> bytes:
        self.position += len(chunk)
        self._index += 1
        if not self._intake._keeps:
            self._intake._shrink()
        return chunk

    async def _from_spool(self) -> bytes:
        intake = self._intake
        spool = intake._spool
        try:
            if spool is None:
                raise StorageError("the first bytes of this body are gone")
            end = min(intake._start, self.position + READ_BYTES)
            chunk = await spool.read(self.position, end)
        except StorageError as error:
            intake._left(self)
            raise HopError("a body on its way was lost", hint=str(error)) from error
        self.position += len(chunk)
        return chunk
