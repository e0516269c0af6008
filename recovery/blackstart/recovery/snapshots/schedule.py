"""Snapshots by the clock: one at each multiple of an interval, by one process at a time.

What is due is read from the bucket, and from nothing else: a snapshot of this
database that was begun since the last multiple. So a schedule that was killed,
slept or comes late takes one snapshot and not one for each multiple it missed; one
taken by hand counts; and of several schedules on one database each finds what
another did. A lock in the bucket keeps two from taking the same one; it is
manners, not safety, as two takes at once harm nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from pymongo.errors import PyMongoError

from blackstart.clock import Clock
from blackstart.errors import BlackstartError, ConflictError, StorageError
from blackstart.events import Events
from blackstart.recovery.snapshots.collecting import Collector
from blackstart.recovery.snapshots.intervals import Every
from blackstart.recovery.snapshots.keys import scheduled_prefix
from blackstart.recovery.snapshots.leases import Lock
from blackstart.recovery.snapshots.manifest import Snapshot
from blackstart.recovery.snapshots.retention import Keep
from blackstart.recovery.snapshots.snapshots import Snapshots
from blackstart.recovery.snapshots.source import Database
from blackstart.seed import Seed

FIRST_RETRY_S = 10.0
LONGEST_RETRY_S = 300.0
LONGEST_SLEEP_S = 30.0
"""A timer stands still while its machine sleeps, and clocks are set: look at the time often."""
LEASE_S = 60.0

Open = Callable[[], AbstractAsyncContextManager[Database]]
"""Connects to the database, for one take. Raises: DatabaseError."""


class Outcome(StrEnum):
    """What came of one look at what is due."""

    TAKEN = "taken"
    NOT_DUE = "not due"
    BUSY = "busy"
    """Another process is at it."""


class Schedule:
    """Takes snapshots of the database called `name`, and removes those that `keep` does not keep.

    Without `keep` all stay. What happens is told as events: `snapshot.taken`, `snapshot.failed`,
    `snapshot.abandoned`, `snapshots.pruned`, `snapshots.prune_failed`.
    """

    def __init__(
        self,
        snapshots: Snapshots,
        open_database: Open,
        name: str,
        *,
        every: Every,
        clock: Clock,
        seed: Seed,
        events: Events,
        keep: Keep | None = None,
        lease_s: float = LEASE_S,
    ) -> None:
        self._snapshots = snapshots
        self._open = open_database
        self._name = name
        self._every = every
        self._clock = clock
        self._seed = seed
        self._events = events
        self._keep = keep
        self._lease = timedelta(seconds=lease_s)
        self.failures = 0
        """How many times in a row it failed."""

    async def run(self) -> None:
        """Take what is due now, then at each multiple, until cancelled; go on after failures."""
        while True:
            now = self._clock.time()
            try:
                outcome = await self.once()
            except (BlackstartError, PyMongoError) as error:
                self.failures += 1
                wait_s = self._retry_s()
                self._fail(error, retry_in_s=round(wait_s))
                await self._sleep_until(self._clock.time() + wait_s)
                continue
            self.failures = 0
            if outcome is Outcome.BUSY:
                # It is over when that process ends or its lease does.
                await self._sleep_until(self._clock.time() + self._lease.total_seconds() / 2)
            else:
                await self._sleep_until(self._every.next(now))

    async def once(self) -> Outcome:
        """Take what is due, if something is. Raises: DatabaseError, StorageError, ConflictError."""
        if await self._is_done():
            return Outcome.NOT_DUE
        lock = Lock(
            self._snapshots.chunks.objects,
            self._clock,
            scheduled_prefix(self._name),
            self._seed.new_bytes(8).hex(),
            length=self._lease,
        )
        if not await lock.take():
            return Outcome.BUSY
        try:
            if await self._is_done():
                # Another one had the lock until just now.
                return Outcome.NOT_DUE
            async with self._clock.beside("lease", self._hold(lock)):
                await self._take()
                await self._prune()
        finally:
            await lock.release()
        return Outcome.TAKEN

    async def _is_done(self) -> bool:
        now = self._clock.now()
        since = datetime.fromtimestamp(self._every.last(self._clock.time()), UTC)
        return await self._snapshots.has_since(self._name, since, now)

    async def _take(self) -> None:
        begun = self._clock.time()
        try:
            async with self._open() as database:
                taken = await self._snapshots.take(database, self._clock, self._seed)
        except asyncio.CancelledError:
            self._events("snapshot.abandoned", self._name, seconds=self._since(begun))
            raise
        self._tell(taken, self._since(begun))

    def _tell(self, taken: Snapshot, seconds: float) -> None:
        self._events(
            "snapshot.taken",
            taken.id,
            database=self._name,
            documents=taken.document_count,
            raw_bytes=taken.raw_bytes,
            new_bytes=taken.stored_bytes,
            seconds=seconds,
            empty=taken.is_empty,
            late=seconds > self._every.seconds,
        )

    async def _prune(self) -> None:
        """Its failure is told and no more: the snapshot is there, and the next one prunes again."""
        if self._keep is None:
            return
        collector = Collector(self._snapshots, self._clock, self._keep, database=self._name)
        try:
            done = await collector.apply(self._seed)
        except BlackstartError as error:
            self._events("snapshots.prune_failed", self._name, error=str(error))
            return
        self._events(
            "snapshots.pruned",
            self._name,
            removed=len(done.removed),
            chunks=done.chunks,
            freed_bytes=done.chunk_bytes,
            why_not=done.why_not or "",
        )

    async def _hold(self, lock: Lock) -> None:
        """Keep the lock while this takes; without it another one may begin as well, at worst."""
        while True:
            await self._clock.sleep(self._lease.total_seconds() / 10)
            with suppress(StorageError, ConflictError):
                await lock.hold()

    def _fail(self, error: Exception, *, retry_in_s: int) -> None:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        self._events("snapshot.failed", self._name, error=said, retry_in_s=retry_in_s)

    def _retry_s(self) -> float:
        """Twice as long each time."""
        longest_s = min(LONGEST_RETRY_S, self._every.seconds)
        return min(FIRST_RETRY_S * 2.0 ** min(self.failures - 1, 20), longest_s)

    def _since(self, begun: float) -> float:
        return round(max(0.0, self._clock.time() - begun), 3)

    async def _sleep_until(self, at: float) -> None:
        while (now := self._clock.time()) < at:
            # When the clock is set back, the next multiple comes earlier than was thought.
            at = min(at, self._every.next(now))
            await self._clock.sleep(min(at - now, LONGEST_SLEEP_S))
