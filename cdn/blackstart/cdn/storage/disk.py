"""The second tier: bodies in files, their entries in an index, both outliving a restart."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from pathlib import Path

import structlog

from blackstart.cdn.storage.bodyfile import BodyFile, BodyStream, SpoolFile, chunk_end
from blackstart.cdn.storage.entry import Entry, OnDisk
from blackstart.cdn.storage.files import Files
from blackstart.cdn.storage.folder import Folder, first_number
from blackstart.cdn.storage.jobs import Change, Index, MarkStale, Store, StoreSpool
from blackstart.cdn.storage.quota import MEBIBYTE, PlanQuotas
from blackstart.cdn.storage.spool import DiskSpool
from blackstart.cdn.storage.table import Reader, Table, row_of
from blackstart.cdn.storage.writer import Report, Writer
from blackstart.clock import Clock, is_paused
from blackstart.errors import StorageError, UsageError

log = structlog.get_logger(__name__)

# What a row takes beside key and head, and what a file does beside the body.
ENTRY_BYTES = 1024


def cost(entry: Entry, body_bytes: int) -> int:
    """What an entry counts for in its plan's disk space."""
    return ENTRY_BYTES + entry.text_bytes + body_bytes


class DiskTier:
    """Bodies in a folder that no other process may share.

    Each body has a number that was never used before, also not by an earlier
    run: the run's own number and a sequence. Waiting writes hold at most
    `pending_bytes` of memory; beyond that, bodies are not kept here. After a
    failure nothing is kept here for `pause_s` seconds.
    """

    def __init__(
        self,
        folder: Path,
        quotas: Mapping[str, int],
        clock: Clock,
        *,
        largest_share: float = 1 / 8,
        pending_bytes: int = 64 * MEBIBYTE,
        pause_s: float = 60.0,
        files: Files | None = None,
    ) -> None:
        self._folder = Folder(folder)
        self.quotas: PlanQuotas[OnDisk] = PlanQuotas(quotas, largest_share=largest_share)
        self.position: str | None = None
        self.first_number = 0
        self._clock = clock
        self._pending_limit_bytes = pending_bytes
        self._pending_bytes = 0
        self._pending: dict[int, bytes | DiskSpool] = {}
        self._pause_s = pause_s
        self._paused: str | None = None
        self._paused_until = 0.0
        self._files = files or Files()
        self._table: Table | None = None
        self._writer: Writer | None = None
        self._next_number = 0
        self._on_lost: Callable[[OnDisk | None], None] = lambda node: None

    async def open(self, on_lost: Callable[[OnDisk | None], None]) -> bool:
        """Take the folder; False, and a warning, when it cannot be used.

        `on_lost` hears of bodies that could not be written after all; None
        stands for all that are not being written just now.
        Raises: UsageError when another process has the folder.
        """
        loop = asyncio.get_running_loop()
        folder = self._folder.path
        self._on_lost = on_lost

        def report(report: Report) -> None:
            loop.call_soon_threadsafe(self._heard, report)

        try:
            table, opening, self.position = await asyncio.to_thread(self._folder.take)
        except (OSError, sqlite3.Error) as error:
            # `mkdir` calls a file that is in the way by a name that explains nothing.
            in_the_way = isinstance(error, FileExistsError)
            log.warning(
                "cache folder cannot be used",
                folder=str(folder),
                error="it is no folder" if in_the_way else str(error),
                instead="memory only",
            )
            return False
        self.first_number = self._next_number = first_number(opening)
        self._table = table
        self._writer = Writer(table, self._files, self._folder.path_of, opening, report)
        return True

    async def forget_unread(self) -> None:
        """Leave nothing in a folder that could not be used to a run that can use it.

        Raises: StorageError when that run may still find something.
        """
        try:
            await asyncio.to_thread(self._folder.set_aside_unread)
        except (OSError, UsageError) as error:
            raise StorageError(f"what the cache folder has may come back: {error}") from error

    async def close(self) -> None:
        """Do what is pending and leave the folder to others."""
        writer, self._writer = self._writer, None
        if writer is not None:
            await asyncio.to_thread(writer.stop)
        self._folder.release()

    @property
    def state(self) -> str:
        """`ok`, `off`, or `paused: ` and why."""
        if not self._is_on:
            return "off"
        if self._paused is not None and self._is_paused():
            return f"paused: {self._paused}"
        return "ok"

    @property
    def _is_on(self) -> bool:
        return self._writer is not None and not self._writer.has_ended

    def largest_body(self, entry: Entry) -> int:
        """The longest body that is kept for this entry; below 0 when none is."""
        if not self._is_on or not self._is_writable():
            return -1
        return self.quotas.largest(self.quotas.plan(entry.plan)) - cost(entry, 0)

    def fits(self, entry: Entry) -> bool:
        """Whether a body that is here already may stay."""
        return cost(entry, entry.size) <= self.quotas.largest(self.quotas.plan(entry.plan))

    def accepts(self, entry: Entry, size: int) -> bool:
        """Whether a body of this size is kept just now."""
        waiting = self._pending_bytes + size <= self._pending_limit_bytes
        return waiting and size <= self.largest_body(entry)

    def room_for(self, entry: Entry) -> Iterator[Entry]:
        """Take out who has to leave before this entry fits."""
        plan = self.quotas.plan(entry.plan)
        while (node := self.quotas.victim(plan, cost(entry, entry.size))) is not None:
            victim = node.entry
            self.remove(victim)
            yield victim

    def put(self, entry: Entry, body: bytes) -> None:
        """Keep a body soon; ask `accepts` and `room_for` first."""
        node = self._enter(entry, self._new_number())
        number = node.number
        self._pending[number] = body
        self._pending_bytes += len(body)
        path, scratch = self._folder.path_of(number), self._folder.scratch_of(number)
        self._submit(Store(node, row_of(number, entry), body, path, scratch))

    def spool(self, entry: Entry, on_progress: Callable[[], None]) -> DiskSpool | None:
        """A file for a body as it comes; None when nothing is kept just now."""
        if self.largest_body(entry) < 0 or self._writer is None:
            return None
        number = self._new_number()
        file = SpoolFile(self._files, self._folder.scratch_of(number), entry.key, number)
        return DiskSpool(file, number, self._writer.submit, on_progress)

    def put_spool(self, entry: Entry, spool: DiskSpool) -> None:
        """Keep what was spooled."""
        node = self._enter(entry, spool.number)
        self._pending[spool.number] = spool
        spool.kept = True
        path = self._folder.path_of(spool.number)
        self._submit(StoreSpool(node, row_of(spool.number, entry), spool.file, path))

    def adopt(self, entry: Entry, number: int) -> None:
        """Count an entry that was found here."""
        self._enter(entry, number)

    def take_over(self, node: OnDisk, entry: Entry) -> None:
        """Let an entry have the body of another, whose `release` gave this node."""
        node.entry = entry
        entry.disk = node
        self.quotas.add(node, self.quotas.plan(entry.plan), cost(entry, entry.size))
        self._submit(Change(node, row_of(node.number, entry)))

    def release(self, entry: Entry) -> OnDisk | None:
        """Count an entry no more; its body stays."""
        node = entry.disk
        if node is not None:
            self.quotas.remove(node, self.quotas.plan(entry.plan), cost(entry, entry.size))
            entry.disk = None
        return node

    def remove(self, entry: Entry) -> None:
        """Let go of an entry's body, if it is here; row and file go soon."""
        node = self.release(entry)
        if node is not None:
            self.remove_number(node.number)

    def remove_number(self, number: int) -> None:
        """The same with one that was found and is not adopted."""
        if self._writer is not None:
            self._writer.remove((number,))

    def remove_found(self, keys: Iterable[str]) -> None:
        """Remove what an earlier run left of some pages; the sweep finds the files."""
        wanted, before = list(keys), self.first_number
        self._submit(Index(lambda table: table.delete_pages_before(wanted, before)))

    def mark_stale(self, entries: Iterable[Entry]) -> None:
        """Note that entries are stale; those that are not here do not matter."""
        nodes = [entry.disk for entry in entries if entry.disk is not None]
        if nodes:
            self._submit(MarkStale(nodes))

    def mark_all_stale(self) -> None:
        """The same with all that is here, also what was found and not read yet."""
        before = self._next_number
        self._submit(Index(lambda table: table.mark_stale_before(before)))

    def set_position(self, position: str, *, trusted: bool) -> None:
        """Remember which purges what is here has seen. What was found is stale unless trusted."""
        self.position = position
        before = 0 if trusted else self.first_number

        def change(table: Table) -> None:
            table.mark_stale_before(before)
            table.set("position", position)

        self._submit(Index(change))

    async def flush(self, *, durable: bool = False) -> None:
        """Wait until all asked for so far is in files and index; a durable one: on the disk.

        Raises: StorageError when a durable one cannot be kept, or nothing is written any more.
        """
        if self._writer is not None:
            await asyncio.wrap_future(self._writer.flush(durable=durable))

    async def read(self, entry: Entry, first: int, end: int) -> bytes:
        """Bytes of a body, checked. Raises: StorageError when it is gone or damaged."""
        body = await self._pending_body(entry)
        if body is not None:
            return body[first:end]
        return (await self._opened(entry, first, end))[1]

    async def stream(
        self, entry: Entry, first: int, end: int, on_damage: Callable[[], None]
    ) -> AsyncIterator[bytes]:
        """The same, bit by bit; the first is read now. `on_damage` hears of errors later on."""
        body = await self._pending_body(entry)
        if body is not None:
            return _once(body[first:end])
        file, ahead = await self._opened(entry, first, chunk_end(first, end))
        return BodyStream(file, ahead, first, end, on_damage)

    def found(self) -> Reader:
        """What an earlier run left, older ones first."""
        assert self._table is not None, "nothing is found in a folder that was not opened"
        return Reader(self._table, self.first_number)

    async def found_page(self, key: str) -> list[tuple[int, Entry]]:
        """What an earlier run left of one page. Raises: sqlite3.Error"""
        assert self._table is not None, "nothing is found in a folder that was not opened"
        return await asyncio.to_thread(self._table.page, key, self.first_number)

    def condemn(self, error: sqlite3.Error) -> None:
        """The index cannot be read: set it aside and begin anew."""

        def fail(table: Table) -> None:
            raise sqlite3.DatabaseError(str(error))

        self._submit(Index(fail))

    async def sweep(self, live: set[int]) -> None:
        """Remove the files that earlier runs left without a row; `live` have one."""
        try:
            await asyncio.to_thread(self._folder.sweep, self._files, self.first_number, live)
        except OSError as error:
            log.warning("leftovers stay in the cache folder", error=str(error))

    def _new_number(self) -> int:
        self._next_number += 1
        return self._next_number - 1

    def _enter(self, entry: Entry, number: int) -> OnDisk:
        node = entry.disk = OnDisk(entry, number)
        self.quotas.add(node, self.quotas.plan(entry.plan), cost(entry, entry.size))
        return node

    def _submit(self, job: Store | StoreSpool | Change | MarkStale | Index) -> None:
        if self._writer is not None:
            self._writer.submit(job)

    def _is_writable(self) -> bool:
        if self._paused is not None and not self._is_paused():
            self._paused = None
            log.warning("cache disk is used again", folder=str(self._folder.path))
        return self._paused is None

    def _is_paused(self) -> bool:
        return is_paused(self._clock.time(), self._paused_until, self._pause_s)

    async def _pending_body(self, entry: Entry) -> bytes | None:
        """The body while it waits to be written."""
        node = entry.disk
        if node is None:
            raise StorageError("the entry is gone")
        node.use()
        pending = self._pending.get(node.number)
        if pending is None or isinstance(pending, bytes):
            return pending
        await self.flush()
        return None

    async def _opened(self, entry: Entry, first: int, end: int) -> tuple[BodyFile, bytes]:
        node = entry.disk
        if node is None:
            raise StorageError("the entry is gone")
        path, number = self._folder.path_of(node.number), node.number

        def read() -> tuple[BodyFile, bytes]:
            file = BodyFile(path, entry.key, number, entry.size)
            return file, file.read(first, end)

        try:
            return await asyncio.to_thread(read)
        except OSError as error:
            raise StorageError(f"a cached body cannot be read: {error}") from error

    def _heard(self, report: Report) -> None:
        """What the writer did, on the loop."""
        for node in report.done + report.lost:
            pending = self._pending.pop(node.number, None)
            if isinstance(pending, bytes):
                self._pending_bytes -= len(pending)
        for node in report.lost:
            self._forget(node)
        if report.anew:
            self._on_lost(None)
            if self.position is not None:
                # Or the next run would not know that somebody orders purges.
                self.set_position(self.position, trusted=True)
        if report.error is not None:
            self._pause(str(report.error))

    def is_pending(self, node: OnDisk) -> bool:
        """Whether a body waits to be written."""
        return node.number in self._pending

    def _forget(self, node: OnDisk) -> None:
        if node.entry.disk is node:
            self.release(node.entry)
            self._on_lost(node)

    def _pause(self, reason: str) -> None:
        if self._paused is None:
            log.warning(
                "cache disk failed, memory only",
                folder=str(self._folder.path),
                pause_s=self._pause_s,
                error=reason,
            )
        self._paused = reason
        self._paused_until = self._clock.time() + self._pause_s


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
