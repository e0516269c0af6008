"""The cache of a node: memory in front of disk, purged by tag, bounded by plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from blackstart.cdn.disk import DiskTier
from blackstart.cdn.entry import Entry
from blackstart.cdn.freshness import primary_key, variant_key
from blackstart.cdn.index import Index
from blackstart.cdn.memory import MemoryTier
from blackstart.cdn.message import Request
from blackstart.cdn.quota import DEFAULT_QUOTAS, MEBIBYTE


def _unheard(_tier: str, _plan: str) -> None:
    """Nobody listens to evictions."""


class Fetch:
    """A fetch from the origin under way, which hears of every purge until it ends.

    What it brings may be older than a purge that arrives meanwhile, and must
    then neither be stored nor served stale.
    """

    __slots__ = ("_everything", "_tags", "primary")

    def __init__(self, primary: str) -> None:
        self.primary = primary
        self._tags: set[str] = set()
        self._everything = False

    def hear(self, tags: Iterable[str] | None) -> None:
        """Note a purge of these tags, or of everything."""
        if tags is None:
            self._everything = True
        else:
            self._tags.update(tags)

    def outdates(self, tags: Iterable[str]) -> bool:
        """Whether a purge that came meanwhile covers a response with these tags."""
        return self._everything or not self._tags.isdisjoint(tags)


class Cache:
    """Stored responses in two tiers. `on_evict` is told the tier and the plan of each eviction."""

    def __init__(
        self,
        quotas: Mapping[str, int] = DEFAULT_QUOTAS,
        *,
        disk: DiskTier | None = None,
        max_body_bytes: int = 8 * MEBIBYTE,
    ) -> None:
        self.memory = MemoryTier(quotas)
        self.disk = disk
        self.max_body_bytes = max_body_bytes
        self.on_evict: Callable[[str, str], None] = _unheard
        self._index = Index()
        self._fetches: dict[Fetch, None] = {}

    async def open(self) -> None:
        """Find what an earlier run left on disk."""
        if self.disk is not None:
            for entry in await self.disk.open():
                self._index.add(entry)

    async def close(self) -> None:
        """Bring what is pending to disk."""
        if self.disk is not None:
            await self.disk.close()

    def plan(self, name: str | None) -> str:
        """The plan whose quota an entry counts against."""
        return self.memory.quotas.plan(name)

    def find_in_memory(self, request: Request) -> Entry | None:
        """The stored response this request selects, fresh or not, when memory has it."""
        key = self._key_of(request)
        entry = self.memory.get(key)
        if entry is not None and self.disk is not None:
            self.disk.quotas.touch(key)
        return entry

    async def find_on_disk(self, request: Request) -> Entry | None:
        """The same from disk, after which memory has it too."""
        key = self._key_of(request)
        if self.disk is None or key not in self.disk:
            return None
        entry = await self.disk.read(key)
        if entry is None:
            self._forget_if_gone(key)
            # Another request may have stored a newer one while this one read.
            return self.memory.get(key)
        entry = replace(entry, plan=self.plan(entry.plan))
        self._keep_in_memory(entry)
        return entry

    def begin(self, request: Request) -> Fetch:
        """Announce a fetch, before it is sent, so that it hears of purges; `end` it always."""
        fetch = Fetch(primary_key(request))
        self._fetches[fetch] = None
        return fetch

    def end(self, fetch: Fetch) -> None:
        """The fetch is over."""
        del self._fetches[fetch]

    def put(self, entry: Entry, fetch: Fetch) -> bool:
        """Keep what a fetch brought; False when a purge came between, or it does not fit."""
        if len(entry.body) > self.max_body_bytes or fetch.outdates(entry.tags):
            return False
        self._index.add(entry)
        in_memory = self._keep_in_memory(entry)
        on_disk = self._keep_on_disk(entry)
        self._forget_if_gone(entry.key)
        return in_memory or on_disk

    def drop(self, keys: Iterable[str]) -> None:
        """Forget entries; their files go soon."""
        for key in keys:
            self._index.discard(key)
            self.memory.remove(key)
            if self.disk is not None:
                self.disk.remove(key)

    def invalidate(self, request: Request) -> None:
        """Forget a page, because an unsafe request changed it (RFC 9111 section 4.4)."""
        primary = primary_key(request)
        for fetch in self._fetches:
            if fetch.primary == primary:
                fetch.hear(None)
        self.drop(self._index.keys_of_page(primary))

    async def purge(self, tags: Iterable[str]) -> int:
        """Forget whatever carries one of the tags; returns how many entries that were."""
        wanted = {tag.lower(): None for tag in tags}
        for fetch in self._fetches:
            fetch.hear(wanted)
        return await self._purge(self._index.keys_of_tags(wanted))

    async def purge_all(self) -> int:
        """Forget everything; returns how many entries that were."""
        for fetch in self._fetches:
            fetch.hear(None)
        return await self._purge(self._index.keys())

    def __len__(self) -> int:
        return len(self._index)

    async def _purge(self, keys: list[str]) -> int:
        self.drop(keys)
        if keys and self.disk is not None:
            await self.disk.flush()
        return len(keys)

    def _key_of(self, request: Request) -> str:
        primary = primary_key(request)
        vary = self._index.vary_of(primary)
        return variant_key(primary, vary, request.headers) if vary else primary

    def _keep_in_memory(self, entry: Entry) -> bool:
        return self._settle("memory", entry.plan, self.memory.put(entry))

    def _keep_on_disk(self, entry: Entry) -> bool:
        return self.disk is not None and self._settle("disk", entry.plan, self.disk.put(entry))

    def _settle(self, tier: str, plan: str, evicted: list[str] | None) -> bool:
        if evicted is None:
            return False
        for key in evicted:
            self.on_evict(tier, plan)
            self._forget_if_gone(key)
        return True

    def _forget_if_gone(self, key: str) -> None:
        if key not in self.memory and (self.disk is None or key not in self.disk):
            self._index.discard(key)
