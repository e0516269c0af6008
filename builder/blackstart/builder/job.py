"""A build in a worker's hands: its log, and whether it still is in them."""

from __future__ import annotations

from pymongo.errors import PyMongoError

from blackstart.clock import Clock
from blackstart.control.queue import BuildQueue
from blackstart.errors import ConflictError
from blackstart.model import Build
from blackstart.store import MetadataStore

MAX_LINES = 5_000
MAX_LINE_CHARACTERS = 2_000


class Job:
    """One build with its log. `beat` renews the lease and brings new lines to the database.

    `lost` is set once another worker has the build, or somebody called it off.
    """

    def __init__(self, build: Build, store: MetadataStore, queue: BuildQueue, clock: Clock) -> None:
        self.build = build
        self.lost = clock.event()
        self._store = store
        self._queue = queue
        self._clock = clock
        self._lines = 0
        self._unsaved: list[str] = []
        self._renewed_at = clock.time()

    def log(self, line: str) -> None:
        """Add a line; what is too long, or too much, is cut off."""
        self._lines += 1
        if self._lines < MAX_LINES:
            self._unsaved.append(line[:MAX_LINE_CHARACTERS])
        elif self._lines == MAX_LINES:
            self._unsaved.append(f"the log is cut off here, after {MAX_LINES:,} lines")

    def unsaved(self) -> list[str]:
        """Take the lines that are not in the database yet."""
        lines, self._unsaved = self._unsaved, []
        return lines

    def check(self) -> None:
        """Raises: ConflictError when the build is this worker's no more."""
        if self.lost.is_set():
            raise ConflictError(f"build {self.build.id} was taken over or called off")

    async def hold(self) -> None:
        """Make sure of the build before a step that cannot be taken back.

        Raises: ConflictError when it is this worker's no more.
        """
        if not await self._queue.renew(self.build):
            self.lost.set()
        self._renewed_at = self._clock.time()
        self.check()

    async def heartbeat(self, every_s: float) -> None:
        """Renew the lease and save the log until the build is lost; run beside the build."""
        while not self.lost.is_set():
            await self._clock.sleep(every_s)
            await self.beat()

    async def beat(self) -> None:
        """Save what is new; a lease is renewed when a third of it is over.

        A database that is away is waited for, but no longer than the lease holds.
        """
        lease_s = self._queue.lease_s
        age_s = self._clock.time() - self._renewed_at
        try:
            if age_s >= lease_s / 3:
                held = await self._queue.renew(self.build)
                self._renewed_at = self._clock.time()
            else:
                held = await self._save()
        except PyMongoError:
            held = age_s < lease_s
        if not held:
            self.lost.set()

    async def _save(self) -> bool:
        """The build's own state is looked at even when there is nothing to save."""
        lines = self.unsaved()
        try:
            return await self._store.builds.add_log(self.build, lines)
        except PyMongoError:
            self._unsaved = lines + self._unsaved
            raise
