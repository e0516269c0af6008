"""How long a node's cache takes to read its index from disk, and that it serves meanwhile.

    .venv/bin/python benchmarks/cdn_start.py [--entries 100000] [--limit 3]

Fills a folder, opens it again, and looks up pages that are and are not there
until everything is read. Ends with status 1 when that took longer than the
limit, or when a page was not found.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from blackstart.cdn.storage import Cache, DiskTier
from blackstart.clock import WallClock
from cdn_memory import QUOTAS, fill, page

PAUSE_S = 0.005


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the start of a cache with a full disk.")
    parser.add_argument("--entries", type=int, default=100_000, help="how many")
    parser.add_argument("--limit", type=float, default=3.0, help="seconds it may take")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_fill(Path(folder), arguments.entries))
        took_s = asyncio.run(_start(Path(folder), arguments.entries))
    sys.exit(1 if took_s > arguments.limit else 0)


def _cache(folder: Path) -> Cache:
    clock = WallClock()
    return Cache(clock, QUOTAS, disk=DiskTier(folder, QUOTAS, clock))


async def _fill(folder: Path, count: int) -> None:
    cache = _cache(folder)
    await cache.open()
    await fill(cache, count)
    await cache.close()


async def _start(folder: Path, count: int) -> float:
    """Seconds until everything was read."""
    start = time.perf_counter()
    cache = _cache(folder)
    await cache.open()
    opened_s = time.perf_counter() - start
    loading = asyncio.ensure_future(cache.loaded())
    waits_s = []
    number = 0
    while not loading.done():
        # One page in ten is not there; the others are spread over the whole index.
        number = (number + 7_919) % count
        asked = time.perf_counter()
        entry = page(number if len(waits_s) % 10 else count + number)
        found = await cache.find(entry.key)
        assert bool(found) == bool(len(waits_s) % 10), "a lookup was wrong while loading"
        if found:
            await cache.read(found[0])
        waits_s.append(time.perf_counter() - asked)
        await asyncio.sleep(PAUSE_S)
    took_s = time.perf_counter() - start
    assert len(cache) == count
    sweep = time.perf_counter()
    await cache.swept()
    swept_s = time.perf_counter() - sweep
    await cache.close()
    waits_s.sort()
    print(f"{count:,} entries: open after {opened_s:.3f} s, all read after {took_s:.2f} s,")
    print(f"leftovers swept {swept_s:.2f} s later; meanwhile {len(waits_s)} pages were asked for:")
    print(f"median {waits_s[len(waits_s) // 2] * 1e3:.1f} ms, worst {waits_s[-1] * 1e3:.1f} ms")
    return took_s


if __name__ == "__main__":
    main()
