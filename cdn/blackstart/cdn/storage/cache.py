"""The cache of a node: entries by page and by tag, their bodies in memory and on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from blackstart.cdn.message import Body
from blackstart.cdn.storage.contents import Contents
from blackstart.cdn.storage.disk import DiskTier
from blackstart.cdn.storage.entry import Entry, OnDisk
from blackstart.cdn.storage.fetch import Fetch
from blackstart.cdn.storage.intake import READ_BYTES, Intake, Spool
from blackstart.cdn.storage.loading import Loading
from blackstart.cdn.storage.memory import MemoryTier
from blackstart.cdn.storage.quota import DEFAULT_QUOTAS, MEBIBYTE
from blackstart.cdn.storage.spool import DiskSpool
from blackstart.clock import Clock
from blackstart.errors import StorageError


def _unheard(*_told: str) -> None:
    """Nobody listens."""


class Cache:
    """Stored responses. `on_evict` is told the tier and the plan of each eviction,
    `on_change` the key of each page that gains or loses a variant.

    One object takes at most `largest_share` of its plan's quota in a tier.
    Bodies up to `gather_bytes` are kept in memory; longer ones on disk only.
    What is found on disk at the start is stale until `trust_found`.
    """

    def __init__(
        self,
        clock: Clock,
        quotas: Mapping[str, int] = DEFAULT_QUOTAS,
        *,
        largest_share: float = 1 / 8,
        gather_bytes: int = MEBIBYTE,
        disk: DiskTier | None = None,
    ) -> None:
        self.disk = disk
        self.memory = MemoryTier(quotas, largest_share=largest_share)
        self.on_evict: Callable[[str, str], None] = _unheard
        self.on_change: Callable[[str], None] = _unheard
        self._clock = clock
        self._gather_bytes = gather_bytes
        self._contents = Contents()
        self._fetches: dict[Fetch, None] = {}
        self._loading: Loading | None = None

    async def open(self) -> None:
        """Take up what an earlier run left on disk; it is read while the cache serves.

        Raises: UsageError when another process has the folder.
        """
        if self.disk is not None and await self.disk.open(self._lost_on_disk):
            self._loading = Loading(self._clock, self.disk, self._found)

    async def close(self) -> None:
        """Bring what is pending to disk."""
        if self._loading is not None:
            await self._loading.stop()
        if self.disk is not None:
            await self.disk.close()

    async def loaded(self) -> None:
        """Wait until all that an earlier run left is read."""
        if self._loading is not None:
            await self._loading.done()

    async def swept(self) -> None:
        """Wait until what earlier runs left in the folder and nobody holds is removed."""
        if self._loading is not None:
            await self._loading.swept()

    @property
    def disk_state(self) -> str:
        """`ok`, `off`, or `paused: ` and why."""
        return "off" if self.disk is None else self.disk.state

    @property
    def position(self) -> str | None:
        """What `keep_position` was told last, by this run or an earlier one."""
        return None if self.disk is None else self.disk.position

    async def keep_position(self, position: str) -> None:
        """Remember across restarts which purges have reached this cache; durable on return.

        Raises: StorageError when the disk could not note it.
        """
        if self.disk is not None and self._loading is not None:
            self.disk.set_position(position, trusted=self._loading.trusted)
            await self.disk.flush(durable=True)

    def trust_found(self) -> None:
        """No purge was missed while the node was down: what it found is as fresh as it was."""
        if self._loading is not None:
            self._loading.trust(self._contents)

    async def mark_all_stale(self) -> None:
        """A purge may have been missed: nothing is fresh until the origin confirms it.

        Raises: StorageError when the disk could not note it.
        """
        for entry in self._contents:
            entry.stale = True
        for fetch in self._fetches:
            fetch.hear(None)
        if self.disk is not None and self._loading is not None:
            self._loading.distrust()
            self.disk.mark_all_stale()
            await self.disk.flush(durable=True)

    def plan(self, name: str | None) -> str:
        """The plan whose quota an entry counts against."""
        return self.memory.quotas.plan(name)

    def lookup(self, key: str) -> tuple[Entry, ...] | None:
        """The stored variants of a page, those used last first.

        None while the index is read from disk and may still bring some: ask `find`.
        """
        page = self._contents.page(key)
        if not page and self._loading is not None and not self._loading.knows(key):
            return None
        return page

    async def find(self, key: str) -> tuple[Entry, ...]:
        """The same, and asks the disk while the index is being read."""
        if self._loading is not None and not self._loading.knows(key):
            fetch = self.begin(key)
            try:
                await self._loading.ask(fetch)
            finally:
                self.end(fetch)
        return self._contents.page(key)

    def peek(self, entry: Entry) -> bytes | None:
        """The whole body when memory has it, which counts as a use."""
        body = entry.body
        if body is not None:
            entry.use()
            if entry.selecting:
                self._contents.used(entry)
        return body

    async def read(self, entry: Entry, first: int = 0, end: int | None = None) -> Body:
        """The body, or its bytes from `first` up to before `end`.

        Raises: StorageError when it is gone or damaged; the entry is then dropped.
        """
        end = entry.size if end is None else min(end, entry.size)
        body = self.peek(entry)
        if body is None:
            return await self._read_from_disk(entry, first, end)
        return body if first == 0 and end == len(body) else body[first:end]

    def begin(self, key: str) -> Fetch:
        """Announce a fetch, before it is sent, so that it hears of purges; `end` it always."""
        fetch = Fetch(key)
        self._fetches[fetch] = None
        return fetch

    def end(self, fetch: Fetch) -> None:
        """The fetch is over."""
        del self._fetches[fetch]

    def intake(self, entry: Entry, fetch: Fetch, length: int | None) -> Intake:
        """A body on its way in, of `length` bytes when that is known."""
        entry.plan = self.plan(entry.plan)
        gather = min(self.memory.largest_body(entry), self._gather_bytes)
        limit = gather if self.disk is None else max(gather, self.disk.largest_body(entry))
        return Intake(
            self,
            self._clock,
            entry,
            fetch,
            length=length,
            gather_bytes=gather,
            limit_bytes=limit,
        )

    def store(self, entry: Entry, fetch: Fetch, body: bytes) -> bool:
        """Keep a whole body at once; False when a purge came between, or it does not fit."""
        if fetch.outdates(entry.tags):
            return False
        entry.plan = self.plan(entry.plan)
        entry.size = len(body)
        in_memory = len(body) <= min(self._gather_bytes, self.memory.largest_body(entry))
        on_disk = self.disk is not None and self.disk.accepts(entry, len(body))
        if not in_memory and not on_disk:
            return False
        self._enter(entry)
        if self.disk is not None and on_disk:
            self._make_room_on_disk(self.disk, entry)
            self.disk.put(entry, body)
        if in_memory:
            self._keep_in_memory(entry, body)
        return True

    def store_spool(self, entry: Entry, fetch: Fetch, spool: Spool) -> bool:
        """Keep a body that went to a file; False when a purge came between, or it does not fit."""
        assert self.disk is not None and isinstance(spool, DiskSpool)
        if spool.failed or fetch.outdates(entry.tags):
            return False
        if entry.size > self.disk.largest_body(entry):
            return False
        self._enter(entry)
        self._make_room_on_disk(self.disk, entry)
        self.disk.put_spool(entry, spool)
        return True

    def spool(self, entry: Entry, on_progress: Callable[[], None]) -> Spool | None:
        """A file for a body that is too long to gather."""
        return None if self.disk is None else self.disk.spool(entry, on_progress)

    def replace(self, old: Entry, new: Entry, fetch: Fetch | None = None) -> bool:
        """Let `new` take over the body of `old`: a 304, or a HEAD, freshened its head.

        False, and nothing happens, when `old` is gone or a purge came while the
        fetch was under way.
        """
        if not old.held or new.held:
            return False
        if fetch is not None and (fetch.outdates(old.tags) or fetch.outdates(new.tags)):
            return False
        new.plan = self.plan(new.plan)
        new.size = old.size
        body = old.body
        node = None if self.disk is None else self.disk.release(old)
        self._discard(old)
        self._enter(new)
        if self.disk is not None and node is not None:
            if self.disk.fits(new):
                self._make_room_on_disk(self.disk, new)
                self.disk.take_over(node, new)
            else:
                self.disk.remove_number(node.number)
        if body is not None and len(body) <= self.memory.largest_body(new):
            self._keep_in_memory(new, body)
        if new.body is None and new.disk is None:
            self._discard(new)
        return new.held

    def drop(self, entries: Iterable[Entry]) -> None:
        """Forget entries; their files go soon."""
        for entry in entries:
            self._discard(entry)

    def doubt(self, entry: Entry) -> None:
        """The origin has told of another version: not fresh until it confirms this one."""
        entry.stale = True
        if self._loading is not None:
            self._loading.stays_stale([entry])

    def invalidate(self, keys: Iterable[str]) -> None:
        """Forget pages, because an unsafe request changed them (RFC 9111 section 4.4)."""
        wanted = list(keys)
        if self._loading is not None:
            self._loading.forget(wanted)
        self.drop(self._heard(wanted))

    async def purge(self, tags: Iterable[str], *, soft: bool = False) -> int:
        """Forget whatever carries one of the tags, or mark it stale; returns how many that were.

        When it returns, that outlives a power failure.
        Raises: StorageError when the disk could not note it; ask again.
        """
        await self.loaded()
        wanted = list(dict.fromkeys([tag.lower() for tag in tags]))
        for fetch in self._fetches:
            fetch.hear(wanted)
        return await self._purge(self._contents.tagged(wanted), soft=soft)

    async def purge_all(self, *, soft: bool = False) -> int:
        """The same with everything."""
        await self.loaded()
        for fetch in self._fetches:
            fetch.hear(None)
        return await self._purge(list(self._contents), soft=soft)

    async def purge_keys(self, keys: Iterable[str], *, soft: bool = False) -> int:
        """The same with all variants of some pages."""
        await self.loaded()
        return await self._purge(self._heard(keys), soft=soft)

    async def forget_unread(self) -> None:
        """Where the folder could not be used, leave nothing in it for a later run.

        Raises: StorageError when a later run may find something.
        """
        if self.disk is not None and self._loading is None:
            await self.disk.forget_unread()

    async def purge_prefixes(self, prefixes: Iterable[str], *, soft: bool = False) -> int:
        """The same with all pages whose keys begin so."""
        await self.loaded()
        wanted = tuple(prefixes)
        for fetch in self._fetches:
            if fetch.key.startswith(wanted):
                fetch.hear(None)
        below = [entry for entry in self._contents if entry.key.startswith(wanted)]
        return await self._purge(below, soft=soft)

    def entries(self) -> list[Entry]:
        """All that is held."""
        return list(self._contents)

    def __len__(self) -> int:
        return len(self._contents)

    def _heard(self, keys: Iterable[str]) -> list[Entry]:
        """All variants of some pages, of which the fetches under way hear."""
        wanted = dict.fromkeys(keys)
        for fetch in self._fetches:
            if fetch.key in wanted:
                fetch.hear(None)
        return [entry for key in wanted for entry in self._contents.page(key)]

    async def _purge(self, entries: list[Entry], *, soft: bool) -> int:
        if soft:
            for entry in entries:
                entry.stale = True
            if self.disk is not None and self._loading is not None:
                self._loading.stays_stale(entries)
                self.disk.mark_stale(entries)
        else:
            self.drop(entries)
        if self.disk is not None:
            await self.disk.flush(durable=True)
        return len(entries)

    def _enter(self, entry: Entry) -> None:
        for other in self._contents.add(entry):
            self._release(other)
        self.on_change(entry.key)

    def _discard(self, entry: Entry) -> None:
        if entry.held:
            self._contents.discard(entry)
            self._release(entry)
            self.on_change(entry.key)

    def _release(self, entry: Entry) -> None:
        self.memory.remove(entry)
        if self.disk is not None:
            self.disk.remove(entry)

    def _keep_in_memory(self, entry: Entry, body: bytes) -> None:
        for victim in self.memory.room_for(entry, len(body)):
            self.on_evict("memory", victim.plan)
            if victim.disk is None:
                self._discard(victim)
        self.memory.put(entry, body)

    def _make_room_on_disk(self, disk: DiskTier, entry: Entry) -> None:
        for victim in disk.room_for(entry):
            self.on_evict("disk", victim.plan)
            if victim.body is None:
                self._discard(victim)

    async def _read_from_disk(self, entry: Entry, first: int, end: int) -> Body:
        """Short bodies go to memory on the way."""
        disk, node = self.disk, entry.disk
        if disk is None or node is None:
            raise StorageError("the entry is gone")
        if entry.selecting:
            self._contents.used(entry)
        try:
            if entry.size <= min(self._gather_bytes, self.memory.largest_body(entry)):
                body = await disk.read(entry, 0, entry.size)
                if node.entry.disk is node and node.entry.held and node.entry.body is None:
                    self._keep_in_memory(node.entry, body)
                return body[first:end]
            if end - first <= READ_BYTES:
                return await disk.read(entry, first, end)
            return await disk.stream(entry, first, end, partial(self._damaged, node))
        except StorageError:
            self._damaged(node)
            raise

    def _damaged(self, node: OnDisk) -> None:
        if node.entry.disk is node:
            self.drop([node.entry])

    def _lost_on_disk(self, node: OnDisk | None) -> None:
        """A body is not on disk after all; None: none is, but those on their way."""
        assert self.disk is not None
        if node is not None:
            if node.entry.body is None:
                self._discard(node.entry)
            return
        for entry in list(self._contents):
            if entry.disk is not None and not self.disk.is_pending(entry.disk):
                self.disk.release(entry)
                if entry.body is None:
                    self._discard(entry)

    def _found(self, number: int, entry: Entry) -> None:
        """Take in what an earlier run left, unless something newer is here."""
        assert self.disk is not None
        entry.plan = self.plan(entry.plan)
        rivals = self._contents.displaced_by(entry)
        newer = [each for each in rivals if each.disk is None or each.disk.number > number]
        if newer or not self.disk.fits(entry):
            self.disk.remove_number(number)
            return
        self._enter(entry)
        self._make_room_on_disk(self.disk, entry)
        self.disk.adopt(entry, number)
