"""The cache of a node: entries by page and by tag, their bodies in memory and on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from blackstart.cdn.message import Body
from blackstart.cdn.storage.contents import Contents
from blackstart.cdn.storage.entry import Entry
from blackstart.cdn.storage.fetch import Fetch
from blackstart.cdn.storage.intake import Intake, Spool
from blackstart.cdn.storage.memory import MemoryTier
from blackstart.cdn.storage.quota import DEFAULT_QUOTAS, MEBIBYTE
from blackstart.clock import Clock
from blackstart.errors import StorageError


def _unheard(_tier: str, _plan: str) -> None:
    """Nobody listens to evictions."""


class Cache:
    """Stored responses. `on_evict` is told the tier and the plan of each eviction.

    One object takes at most `largest_share` of its plan's quota in a tier.
    Bodies up to `gather_bytes` are kept in memory; longer ones on disk only.
    """

    def __init__(
        self,
        clock: Clock,
        quotas: Mapping[str, int] = DEFAULT_QUOTAS,
        *,
        largest_share: float = 1 / 8,
        gather_bytes: int = MEBIBYTE,
    ) -> None:
        self.memory = MemoryTier(quotas, largest_share=largest_share)
        self.on_evict: Callable[[str, str], None] = _unheard
        self._clock = clock
        self._gather_bytes = gather_bytes
        self._contents = Contents()
        self._fetches: dict[Fetch, None] = {}

    async def open(self) -> None:
        """Take up what an earlier run left on disk; it is read while the cache serves."""

    async def close(self) -> None:
        """Bring what is pending to disk."""

    def plan(self, name: str | None) -> str:
        """The plan whose quota an entry counts against."""
        return self.memory.quotas.plan(name)

    def lookup(self, key: str) -> tuple[Entry, ...] | None:
        """The stored variants of a page, those used last first.

        None while the index is read from disk and may still bring some: ask `find`.
        """
        return self._contents.page(key)

    async def find(self, key: str) -> tuple[Entry, ...]:
        """The same, and asks the disk while the index is being read."""
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
            raise StorageError("the entry is gone")
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
        limit = self.memory.largest_body(entry)
        gather = min(limit, self._gather_bytes)
        return Intake(
            self,
            self._clock,
            entry,
            fetch,
            length=length,
            gather_bytes=gather,
            limit_bytes=gather,
        )

    def store(self, entry: Entry, fetch: Fetch, body: bytes) -> bool:
        """Keep a whole body at once; False when a purge came between, or it does not fit."""
        if fetch.outdates(entry.tags):
            return False
        entry.plan = self.plan(entry.plan)
        entry.size = len(body)
        in_memory = len(body) <= min(self._gather_bytes, self.memory.largest_body(entry))
        if not in_memory:
            return False
        self._enter(entry)
        self._keep_in_memory(entry, body)
        return True

    def store_spool(self, entry: Entry, fetch: Fetch, spool: Spool) -> bool:
        """Keep a body that went to a file."""
        raise AssertionError("there is no disk")

    def spool(self, entry: Entry, on_progress: Callable[[], None]) -> Spool | None:
        """A file for a body that is too long to gather."""
        return None

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
        self._discard(old)
        self._enter(new)
        if body is not None:
            self._keep_in_memory(new, body)
        return True

    def drop(self, entries: Iterable[Entry]) -> None:
        """Forget entries; their files go soon."""
        for entry in entries:
            self._discard(entry)

    def invalidate(self, keys: Iterable[str]) -> None:
        """Forget pages, because an unsafe request changed them (RFC 9111 section 4.4)."""
        self.drop(self._heard(keys))

    async def purge(self, tags: Iterable[str], *, soft: bool = False) -> int:
        """Forget whatever carries one of the tags, or mark it stale; returns how many that were."""
        wanted = list(dict.fromkeys([tag.lower() for tag in tags]))
        for fetch in self._fetches:
            fetch.hear(wanted)
        return await self._purge(self._contents.tagged(wanted), soft=soft)

    async def purge_all(self, *, soft: bool = False) -> int:
        """The same with everything."""
        for fetch in self._fetches:
            fetch.hear(None)
        return await self._purge(list(self._contents), soft=soft)

    async def purge_keys(self, keys: Iterable[str], *, soft: bool = False) -> int:
        """The same with all variants of some pages."""
        return await self._purge(self._heard(keys), soft=soft)

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
        else:
            self.drop(entries)
        return len(entries)

    def _enter(self, entry: Entry) -> None:
        for other in self._contents.add(entry):
            self._release(other)

    def _discard(self, entry: Entry) -> None:
        if entry.held:
            self._contents.discard(entry)
            self._release(entry)

    def _release(self, entry: Entry) -> None:
        self.memory.remove(entry)

    def _keep_in_memory(self, entry: Entry, body: bytes) -> None:
        for victim in self.memory.room_for(entry, len(body)):
            self.on_evict("memory", victim.plan)
            self._discard(victim)
        self.memory.put(entry, body)
