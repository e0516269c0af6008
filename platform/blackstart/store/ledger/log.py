"""A ledger that a server writes: durable on the local disk, then moved to the object store.

Records that come at the same time share one sync (group commit), which a
thread waits for. The disk alone decides whether something is on record; an object
store that fails only delays the move.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Generic, TypeVar

from blackstart.clock import Clock
from blackstart.errors import BlackstartError, ConflictError, StorageError
from blackstart.events import Events
from blackstart.store.ledger.heads import Head, HeadFiles, store_head
from blackstart.store.ledger.segment import Entry, SegmentName
from blackstart.store.ledger.shipping import ship, stored_end
from blackstart.store.ledger.writer import SegmentWriter
from blackstart.store.objects import ObjectStore
from blackstart.store.threads import in_thread

SEGMENT_BYTES = 1024 * 1024
"""A segment of this size is closed and moved: about 2,500 lines."""

SEGMENT_AGE_S = 900.0
"""So is one whose first record is this old: what a lost disk can take with it."""

TEND_S = 30.0
NOTE_S = 0.2
"""How long a note may wait for others, or for a record, to share a sync with."""
MAX_NOTES = 10_000
"""So many notes may wait for the disk; then the next ones fail."""
SHIP_GRACE_S = 3.0
"""How long the move may take at an orderly stop; what is left is moved after the next start."""

Result = TypeVar("Result")
Given = TypeVar("Given", bound=Entry)
_Waiting = tuple[Entry, asyncio.Future[None] | None]
"""A record, and who waits for it; nobody waits for a note."""


class FileLedger(Generic[Given]):
    """One writer's segments on the local disk. Use it within one event loop."""

    def __init__(
        self,
        writer: SegmentWriter,
        objects: ObjectStore,
        *,
        clock: Clock,
        events: Events,
        segment_bytes: int = SEGMENT_BYTES,
        segment_age_s: float = SEGMENT_AGE_S,
        heads: HeadFiles | None = None,
    ) -> None:
        """`heads`, where there are any, are kept so that a cut end is found."""
        self._writer = writer
        self._title, self._mark = writer.ledger.title, writer.ledger.mark
        self._objects = objects
        self._clock = clock
        self._events = events
        self._segment_bytes = segment_bytes
        self._segment_age = timedelta(seconds=segment_age_s)
        self._heads = heads
        self._stored_head: Head | None = None
        self._waiting: list[_Waiting] = []
        self._urgent = clock.event()
        self._failed = ""
        self._writing: asyncio.Future[None] | None = None
        self._shipping: asyncio.Future[None] | None = None
        self._disk_lock = asyncio.Lock()
        self._ship_lock = asyncio.Lock()
        self._closed = False

    async def start(self) -> None:
        """Find out where the writer stopped, and drop a torn line. Raises: StorageError."""
        async with self._disk_lock:
            await self._on_disk(self._writer.resume)

    async def record(self, record: Given) -> None:
        """Durable on the local disk when this returns. Raises: StorageError."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._wait(record, done)
        self._urgent.set()
        await done

    def note(self, record: Given) -> None:
        """On the local disk soon, if that goes well: for what need not wait for it.

        Raises: StorageError when the last write failed or too many wait; the note is tried
        all the same in the first case, so that it is known when all is well again.
        """
        if len(self._waiting) >= MAX_NOTES:
            raise StorageError(f"the {self._title} is not written fast enough")
        self._wait(record, None)
        if self._failed:
            raise StorageError(self._failed, hint=self._writer.ledger.refusal)

    async def tend(self) -> None:
        """Rotate and move segments as time goes by, until cancelled."""
        while True:
            await self.look_after()
            await self._clock.sleep(TEND_S)

    async def look_after(self) -> None:
        """Close the segment if it is old enough, and move what is closed."""
        since = self._writer.since
        if since is not None and self._clock.now() - since >= self._segment_age:
            async with self._disk_lock:
                await self._rotate()
        await self._ship_closed()
        await self._store_head()

    async def close(self) -> None:
        """The orderly end: nothing is taken any more, and all there is is closed and moved."""
        self._closed = True
        self._urgent.set()
        if self._writing is not None:
            await asyncio.wait([self._writing])
        async with self._disk_lock:
            if self._writer.since is not None:
                await self._rotate()
        with suppress(TimeoutError):
            async with asyncio.timeout(SHIP_GRACE_S):
                await self._ship_closed()
                await self._store_head()
        if self._shipping is not None:
            self._shipping.cancel()
            await asyncio.wait([self._shipping])
        self._writer.close()

    async def _write_waiting(self) -> None:
        try:
            while self._waiting:
                await self._urgent.wait(NOTE_S)
                self._urgent.clear()
                await self._write_batch()
                if self._writer.size >= self._segment_bytes:
                    await self._rotate_and_ship()
        except BaseException as error:
            # Nobody will write what is left: whoever waits for it must not wait for ever.
            self._resolve_all(error)
            raise

    async def _write_batch(self) -> None:
        batch, self._waiting = self._waiting, []
        try:
            await self._write([record for record, _ in batch])
        except BlackstartError as error:
            self._failed = error.message
            self._resolve(batch, error)
        except BaseException as error:
            self._resolve(batch, error)
            raise
        else:
            self._failed = ""
            self._resolve(batch, None)

    def _resolve_all(self, error: BaseException) -> None:
        batch, self._waiting = self._waiting, []
        self._resolve(batch, error)

    async def _rotate_and_ship(self) -> None:
        async with self._disk_lock:
            await self._rotate()
        if not _runs(self._shipping):
            self._shipping = asyncio.ensure_future(self._ship_closed())

    async def _write(self, records: Sequence[Entry]) -> None:
        async with self._disk_lock:
            if not self._writer.ready:
                await self._find_chain()
            await self._on_disk(self._append, records)

    def _append(self, records: Sequence[Entry]) -> None:
        """Behind each line its head: whatever is acknowledged is covered by one."""
        self._writer.append(records)
        if self._heads is not None and (head := self._writer.head) is not None:
            self._heads.keep(head)

    async def _find_chain(self) -> None:
        if await self._on_disk(self._writer.resume):
            return
        number, last = await stored_end(self._objects, self._writer.ledger, self._writer.writer)
        local = await self._on_disk(self._writer.segments)
        newest = max([number, *(name.number for name in local)])
        name = self._writer.ledger.segment(self._writer.writer, newest + 1)
        await self._on_disk(self._writer.begin, name, last)

    async def _rotate(self) -> None:
        """A failure is told and no more: the next record or look tries again."""
        try:
            await self._on_disk(self._writer.rotate)
        except StorageError as error:
            self._events(f"{self._mark}.not_rotated", self._writer.writer, error=error.message)

    async def _ship_closed(self) -> None:
        async with self._ship_lock:
            try:
                for name in await self._on_disk(self._writer.closed):
                    await self._ship(name)
            except StorageError as error:
                self._events(f"{self._mark}.not_moved", self._writer.writer, error=error.message)

    async def _ship(self, name: SegmentName) -> None:
        data = await self._on_disk(self._writer.read, name)
        try:
            await ship(self._objects, name, data)
        except ConflictError as error:
            self._events(f"{self._mark}.not_moved", self._writer.writer, error=error.message)
            return
        await self._on_disk(self._writer.remove, name)
        self._events(f"{self._mark}.moved", self._writer.writer, segment=name.number)

    async def _store_head(self) -> None:
        head = self._writer.head
        if self._heads is None or head is None or head == self._stored_head:
            return
        try:
            await store_head(self._objects, head)
        except StorageError as error:
            self._events(f"{self._mark}.head_not_stored", head.writer, error=error.message)
        else:
            self._stored_head = head

    def _wait(self, record: Given, done: asyncio.Future[None] | None) -> None:
        if self._closed:
            raise StorageError(f"the {self._title} is closed", hint="the server is about to end")
        self._waiting.append((record, done))
        if not _runs(self._writing):
            self._writing = asyncio.ensure_future(self._write_waiting())

    async def _on_disk(self, call: Callable[..., Result], *arguments: object) -> Result:
        try:
            return await in_thread(f"the {self._title} cannot be written", call, *arguments)
        finally:
            findings, self._writer.findings = self._writer.findings, []
            for found in findings:
                self._events(
                    f"{self._mark}.{found.what}",
                    found.segment.writer,
                    segment=found.segment.number,
                    detail=found.detail,
                )

    def _resolve(self, batch: Sequence[_Waiting], error: BaseException | None) -> None:
        """Each who waits gets an error of his own: raised twice, one mixes up two stories."""
        for _, done in batch:
            if done is None or done.done():
                continue
            if error is None:
                done.set_result(None)
            elif isinstance(error, BlackstartError):
                hint = self._writer.ledger.refusal
                done.set_exception(StorageError(error.message, hint=hint))
            elif isinstance(error, asyncio.CancelledError):
                done.cancel()
            else:
                done.set_exception(error)


def _runs(work: asyncio.Future[None] | None) -> bool:
    return work is not None and not work.done()
