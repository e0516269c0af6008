"""The start of a cache: what an earlier run left on disk is read while the cache serves."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import suppress

import structlog

from blackstart.cdn.storage.disk import DiskTier
from blackstart.cdn.storage.entry import Entry
from blackstart.cdn.storage.fetch import Fetch
from blackstart.clock import Clock
from blackstart.errors import StorageError

log = structlog.get_logger(__name__)


class Loading:
    """Reads the index in batches; a page that is asked for meanwhile goes first.

    Purges wait until it is done. What it brings is stale until it is trusted:
    a purge may have been missed while the node was down.
    """

    def __init__(
        self,
        clock: Clock,
        disk: DiskTier,
        take: Callable[[int, Entry], None],
    ) -> None:
        self.trusted = False
        self._disk = disk
        self._take = take
        self._trustable = True
        self._stale: set[int] = set()  # Numbers of those that trust does not make fresh.
        self._asked: dict[str, None] = {}
        self._taken_up_to = -1
        self._is_done = False
        self._done = clock.event()
        self._swept = clock.event()
        self._clock = clock
        self._task = clock.spawn("cache-loading", self._run())

    def knows(self, key: str) -> bool:
        """Whether all that was left of a page is here."""
        return self._is_done or key in self._asked

    async def done(self) -> None:
        """Wait until everything is read. Raises: StorageError when it was stopped before."""
        if not self._is_done:
            await self._done.wait()
        if not self._is_done:
            raise StorageError("the cache was closed before it had read its index")

    async def swept(self) -> None:
        """Wait until the leftovers are removed."""
        await self._swept.wait()

    async def stop(self) -> None:
        """Read no more."""
        await self._clock.kill(self._task)

    async def ask(self, fetch: Fetch) -> None:
        """Take in one page now, unless the fetch hears that it is to be forgotten."""
        key = fetch.key
        try:
            rows = await self._disk.found_page(key)
        except sqlite3.Error:
            await self.done()  # It meets the same damage, and handles it.
            return
        if self.knows(key) or fetch.outdates(()):
            return
        self._asked[key] = None
        for number, entry in rows:
            if number > self._taken_up_to:
                self._bring(number, entry)

    def forget(self, keys: Iterable[str]) -> None:
        """Let go of pages that are not read yet."""
        unread = [key for key in keys if not self.knows(key)]
        if unread:
            self._asked.update(dict.fromkeys(unread))
            self._disk.remove_found(unread)

    def trust(self, entries: Iterable[Entry]) -> None:
        """No purge was missed: undo the doubt."""
        if self.trusted or not self._trustable:
            return
        self.trusted = True
        for entry in entries:
            node = entry.disk
            if node is not None and node.number < self._disk.first_number:
                entry.stale = node.number in self._stale

    def distrust(self) -> None:
        """A purge was missed: no trust from now on."""
        self._trustable = self.trusted = False

    def stays_stale(self, entries: Iterable[Entry]) -> None:
        """These are stale for another reason, too."""
        self._stale.update([entry.disk.number for entry in entries if entry.disk is not None])

    async def _run(self) -> None:
        live: set[int] = set()
        try:
            await self._read(live)
        except sqlite3.Error as error:
            log.warning("cache index cannot be read and is begun anew", error=str(error))
            self._disk.condemn(error)
            with suppress(StorageError):
                await self._disk.flush()
            live.clear()
            self._is_done = True
        else:
            self._is_done = True
        finally:
            self._done.set()
        await self._disk.sweep(live)
        self._swept.set()

    async def _read(self, live: set[int]) -> None:
        """Take in what was found, and note all its numbers."""
        reader = self._disk.found()
        while batch := await asyncio.to_thread(reader.batch):
            for number, entry in batch:
                live.add(number)
                if entry.key not in self._asked:
                    self._bring(number, entry)
            self._taken_up_to = batch[-1][0]

    def _bring(self, number: int, entry: Entry) -> None:
        if entry.stale:
            self._stale.add(number)
        entry.stale = entry.stale or not self.trusted
        self._take(number, entry)
