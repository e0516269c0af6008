"""The cache of a node: stored responses by page, purged by tag, bounded by plan."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping

from blackstart.cdn.message import Body
from blackstart.cdn.quota import DEFAULT_PLAN, DEFAULT_QUOTAS, MEBIBYTE
from blackstart.cdn.storage.entry import Entry
from blackstart.cdn.storage.intake import Intake
from blackstart.clock import Clock
from blackstart.errors import StorageError

MAX_VARIANTS = 32
OVERHEAD_BYTES = 512


class Fetch:
    """A fetch from the origin under way, which hears of every purge until it ends.

    What it brings may be older than a purge that arrives meanwhile, and must
    then not be stored.
    """

    __slots__ = ("_everything", "_tags", "key")

    def __init__(self, key: str) -> None:
        self.key = key
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
    """Stored responses. `on_evict` is told the tier and the plan of each eviction."""

    def __init__(
        self,
        clock: Clock,
        quotas: Mapping[str, int] = DEFAULT_QUOTAS,
        *,
        max_body_bytes: int = 8 * MEBIBYTE,
    ) -> None:
        self._clock = clock
        self.quotas = dict(quotas)
        self.max_body_bytes = max_body_bytes
        self.on_evict: Callable[[str, str], None] = lambda tier, plan: None
        self._pages: dict[str, tuple[Entry, ...]] = {}
        self._bodies: dict[Entry, bytes] = {}
        self._shelves: dict[str, OrderedDict[Entry, None]] = {p: OrderedDict() for p in quotas}
        self._used = dict.fromkeys(quotas, 0)
        self._by_tag: dict[str, dict[Entry, None]] = {}
        self._fetches: dict[Fetch, None] = {}

    @property
    def plans(self) -> list[str]:
        return list(self.quotas)

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def plan(self, name: str | None) -> str:
        return name if name in self.quotas else DEFAULT_PLAN

    def lookup(self, key: str) -> tuple[Entry, ...] | None:
        return self._pages.get(key, ())

    async def find(self, key: str) -> tuple[Entry, ...]:
        return self._pages.get(key, ())

    def peek(self, entry: Entry) -> bytes | None:
        body = self._bodies.get(entry)
        if body is not None:
            self._shelves[entry.plan].move_to_end(entry)
        return body

    async def read(self, entry: Entry, first: int = 0, end: int | None = None) -> Body:
        body = self.peek(entry)
        if body is None:
            raise StorageError("this stored response is gone")
        return body[first:end]

    def begin(self, key: str) -> Fetch:
        fetch = Fetch(key)
        self._fetches[fetch] = None
        return fetch

    def end(self, fetch: Fetch) -> None:
        del self._fetches[fetch]

    def intake(self, entry: Entry, fetch: Fetch, length: int | None) -> Intake | None:
        if length is not None and length > self._largest(entry.plan):
            return None
        return Intake(
            self._clock,
            self._largest(entry.plan),
            lambda body: self._put(entry, body, fetch),
        )

    def replace(self, old: Entry, new: Entry) -> None:
        body = self._bodies.get(old)
        self.drop([old])
        if body is not None:
            self._keep(new, body)

    def drop(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if self._bodies.pop(entry, None) is None:
                continue
            self._shelves[entry.plan].pop(entry)
            self._used[entry.plan] -= self._cost(entry)
            rest = tuple([e for e in self._pages[entry.key] if e is not entry])
            if rest:
                self._pages[entry.key] = rest
            else:
                del self._pages[entry.key]
            for tag in entry.tags:
                entries_of_tag = self._by_tag[tag]
                entries_of_tag.pop(entry, None)
                if not entries_of_tag:
                    del self._by_tag[tag]

    def invalidate(self, keys: Iterable[str]) -> None:
        wanted = set(keys)
        for fetch in self._fetches:
            if fetch.key in wanted:
                fetch.hear(None)
        for key in wanted:
            self.drop(self._pages.get(key, ()))

    async def purge(self, tags: Iterable[str], *, soft: bool = False) -> int:
        wanted = {tag.lower(): None for tag in tags}
        for fetch in self._fetches:
            fetch.hear(wanted)
        found: dict[Entry, None] = {}
        for tag in wanted:
            found.update(self._by_tag.get(tag, {}))
        return self._forget(list(found), soft)

    async def purge_all(self, *, soft: bool = False) -> int:
        for fetch in self._fetches:
            fetch.hear(None)
        return self._forget(list(self._bodies), soft)

    def used_bytes(self, plan: str) -> int:
        return self._used[plan]

    def __len__(self) -> int:
        return len(self._bodies)

    def _forget(self, entries: list[Entry], soft: bool) -> int:
        if soft:
            for entry in entries:
                entry.stale = True
        else:
            self.drop(entries)
        return len(entries)

    def _largest(self, plan: str) -> int:
        return min(self.max_body_bytes, self.quotas[plan])

    def _cost(self, entry: Entry) -> int:
        return OVERHEAD_BYTES + len(entry.key) + len(entry.head) + entry.size

    def _put(self, entry: Entry, body: bytes, fetch: Fetch) -> bool:
        if fetch.outdates(entry.tags):
            return False
        entry.size = len(body)
        if self._cost(entry) > self.quotas[entry.plan]:
            return False
        same = [
            held
            for held in self._pages.get(entry.key, ())
            if held.selecting == entry.selecting or not entry.selecting or not held.selecting
        ]
        self.drop(same)
        self._keep(entry, body)
        return True

    def _keep(self, entry: Entry, body: bytes) -> None:
        self._bodies[entry] = body
        shelf = self._shelves[entry.plan]
        shelf[entry] = None
        self._used[entry.plan] += self._cost(entry)
        variants = self._pages.get(entry.key, ())
        self._pages[entry.key] = (*variants, entry)
        if len(variants) >= MAX_VARIANTS:
            self.drop([variants[0]])
        for tag in entry.tags:
            self._by_tag.setdefault(tag, {})[entry] = None
        while self._used[entry.plan] > self.quotas[entry.plan]:
            oldest = next(iter(shelf))
            self.drop([oldest])
            self.on_evict("memory", entry.plan)
