"""SIEVE, which the cache uses, beside LRU and S3-FIFO: who finds more in the same space.

    .venv/bin/python benchmarks/eviction.py [--requests 300000] [--seed 1]

The trace is drawn from a seed: pages by Zipf's law, sizes that vary over three
orders of magnitude, what is popular shifting slowly, and now and then a
crawler that asks for a run of pages that nobody asks for again. The figures
are shares of requests, and of bytes, that the cache had.
"""

from __future__ import annotations

import argparse
import bisect
import itertools
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from typing import Protocol

from blackstart.cdn.storage.eviction import Link, Sieve
from blackstart.seed import Seed

PAGES = 20_000
SHARES = (0.01, 0.05, 0.1, 0.25)
SCAN_EVERY = 10_000
SHIFT_EVERY = 500

Request = tuple[int, int]  # A page and its bytes.


class Policy(Protocol):
    """A cache of so many bytes."""

    def __init__(self, capacity_bytes: int) -> None: ...

    def ask(self, page: int, size: int) -> bool:
        """Whether the page is there; it is afterwards."""
        ...


class _Item(Link):
    __slots__ = ("page", "size")

    def __init__(self, page: int, size: int) -> None:
        super().__init__()
        self.page = page
        self.size = size


class SieveCache:
    """The cache's own policy."""

    def __init__(self, capacity_bytes: int) -> None:
        self._left = capacity_bytes
        self._items: dict[int, _Item] = {}
        self._sieve: Sieve[_Item] = Sieve()

    def ask(self, page: int, size: int) -> bool:
        item = self._items.get(page)
        if item is not None:
            item.use()
            return True
        while self._left < size:
            victim = self._sieve.victim()
            self._sieve.remove(victim)
            del self._items[victim.page]
            self._left += victim.size
        item = self._items[page] = _Item(page, size)
        self._sieve.add(item)
        self._left -= size
        return False


class LruCache:
    """What was used longest ago leaves."""

    def __init__(self, capacity_bytes: int) -> None:
        self._left = capacity_bytes
        self._sizes: OrderedDict[int, int] = OrderedDict()

    def ask(self, page: int, size: int) -> bool:
        if page in self._sizes:
            self._sizes.move_to_end(page)
            return True
        while self._left < size:
            self._left += self._sizes.popitem(last=False)[1]
        self._sizes[page] = size
        self._left -= size
        return False


class S3FifoCache:
    """A short queue for what is new, a long one for what was used in it, and a list of ghosts.

    Yang and others, SOSP 2023: a tenth of the space for the short queue, uses
    counted up to three, as many ghosts as the long queue has pages.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity = capacity_bytes
        self._small: deque[int] = deque()
        self._main: deque[int] = deque()
        self._small_bytes = self._used = 0
        self._sizes: dict[int, int] = {}
        self._uses: dict[int, int] = {}
        self._ghosts: OrderedDict[int, None] = OrderedDict()

    def ask(self, page: int, size: int) -> bool:
        if page in self._sizes:
            self._uses[page] = min(3, self._uses[page] + 1)
            return True
        while self._used + size > self._capacity:
            if self._small_bytes > self._capacity // 10 or not self._main:
                self._evict_small()
            else:
                self._evict_main()
        self._sizes[page], self._uses[page] = size, 0
        self._used += size
        if page in self._ghosts:
            del self._ghosts[page]
            self._main.append(page)
        else:
            self._small.append(page)
            self._small_bytes += size
        return False

    def _evict_small(self) -> None:
        page = self._small.popleft()
        self._small_bytes -= self._sizes[page]
        if self._uses[page] > 1:
            self._uses[page] = 0
            self._main.append(page)
            return
        self._drop(page)
        self._ghosts[page] = None
        while len(self._ghosts) > max(len(self._main), 1):
            self._ghosts.popitem(last=False)

    def _evict_main(self) -> None:
        page = self._main.popleft()
        if self._uses[page]:
            self._uses[page] -= 1
            self._main.append(page)
        else:
            self._drop(page)

    def _drop(self, page: int) -> None:
        self._used -= self._sizes.pop(page)
        del self._uses[page]


POLICIES: dict[str, type[Policy]] = {
    "SIEVE": SieveCache,
    "LRU": LruCache,
    "S3-FIFO": S3FifoCache,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare eviction policies.")
    parser.add_argument("--requests", type=int, default=300_000, help="how many, beside scans")
    parser.add_argument("--seed", type=int, default=1, help="of the trace")
    arguments = parser.parse_args()
    for name, scans in (("pages by Zipf's law", False), ("the same with crawlers", True)):
        trace = list(requests(Seed(arguments.seed, "eviction"), arguments.requests, scans=scans))
        total = sum(dict(trace).values())
        print(f"{name}: {len(trace):,} requests, {total / 1e6:.0f} MB of pages")
        print(f"{'cache':>6} " + " ".join(f"{policy:>15}" for policy in POLICIES))
        for share in SHARES:
            ratios = [hit_ratios(policy, trace, int(total * share)) for policy in POLICIES.values()]
            figures = " ".join(f"{hits:>7.1%} {saved:>7.1%}" for hits, saved in ratios)
            print(f"{share:>6.0%} {figures}")


def requests(seed: Seed, count: int, *, scans: bool) -> Iterator[Request]:
    """The trace."""
    draw = seed.random
    weights = itertools.accumulate(1 / rank**0.9 for rank in range(1, PAGES + 1))
    ladder = list(weights)
    pages = list(range(PAGES))
    fresh = itertools.count(PAGES)
    sizes = [_size(draw.gauss(9, 1.5)) for _ in range(PAGES)]
    for number in range(count):
        if scans and number % SCAN_EVERY == SCAN_EVERY - 1:
            for page in itertools.islice(fresh, SCAN_EVERY // 5):
                yield page, _size(9.0)
        if number % SHIFT_EVERY == 0:
            one, other = draw.randrange(PAGES), draw.randrange(PAGES // 20)
            pages[one], pages[other] = pages[other], pages[one]
        rank = bisect.bisect(ladder, draw.random() * ladder[-1])
        page = pages[min(rank, PAGES - 1)]
        yield page, sizes[page]


def _size(exponent: float) -> int:
    return int(min(max(2.718281828**exponent, 200), 500_000))


def hit_ratios(
    policy: type[Policy], trace: Iterable[Request], capacity_bytes: int
) -> tuple[float, float]:
    """Shares of requests and of bytes that a cache of this size has."""
    cache = policy(capacity_bytes)
    asked = asked_bytes = hits = hit_bytes = 0
    for page, size in trace:
        asked += 1
        asked_bytes += size
        if cache.ask(page, size):
            hits += 1
            hit_bytes += size
    return hits / asked, hit_bytes / asked_bytes


if __name__ == "__main__":
    main()
