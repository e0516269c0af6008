"""How many bytes of memory a cached object takes beside its body.

    .venv/bin/python benchmarks/cdn_memory.py [--entries 100000] [--limit 1024]

Pages of a few sites with the fields that such pages have, each in three
caches: memory alone, memory and disk, and one that has just read its index
from disk. Each runs in a process of its own; what counts is how much larger
the process has become, less the bodies that are in memory. Ends with status 1
when one is over the limit.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import multiprocessing
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from blackstart.cdn.storage import MEBIBYTE, Cache, DiskTier, Entry
from blackstart.clock import WallClock

BODY_BYTES = 2_000
QUOTAS = {"free": 2_000 * MEBIBYTE}
STORED_AT = 1_486_000_000.0


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the memory a cached object takes.")
    parser.add_argument("--entries", type=int, default=100_000, help="how many")
    parser.add_argument("--limit", type=int, default=1024, help="bytes each may take")
    arguments = parser.parse_args()
    count: int = arguments.entries
    print(f"{count:,} objects; bytes for each beside its body")
    spawn = multiprocessing.get_context("spawn")
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for name, disk, filled in (
            ("in memory", None, False),
            ("in memory and on disk", Path(folder), False),
            ("found on disk", Path(folder), True),
        ):
            with spawn.Pool(1) as pool:
                each = pool.apply(measure, (count, disk, filled))
            worst = max(worst, each)
            print(f"{name:<24} {each:>6.0f}")
    sys.exit(1 if worst > arguments.limit else 0)


def measure(count: int, disk: Path | None, filled: bool) -> float:
    """Bytes for each of `count` objects; with `filled` they are on the disk already."""
    return asyncio.run(_measure(count, disk, filled))


async def _measure(count: int, folder: Path | None, filled: bool) -> float:
    clock = WallClock()
    disk = None if folder is None else DiskTier(folder, QUOTAS, clock)
    cache = Cache(clock, QUOTAS, disk=disk)
    # What Python and SQLite take for themselves, however little they are asked to do.
    if not filled:
        await cache.open()
        await fill(cache, 100)
    before = _resident()
    if filled:
        await cache.open()
        await cache.loaded()
        await cache.swept()
    else:
        await fill(cache, count, first=100)
    assert len(cache) >= count, "entries were evicted"
    bodies = sum(len(entry.body) for entry in cache.entries() if entry.body is not None)
    grown = _resident() - before
    await cache.close()
    return (grown - bodies) / count


async def fill(cache: Cache, count: int, first: int = 0) -> None:
    """Store pages with these numbers, bodies included."""
    for number in range(first, first + count):
        entry = page(number)
        fetch = cache.begin(entry.key)
        assert cache.store(entry, fetch, number.to_bytes(8, "big") * (BODY_BYTES // 8))
        cache.end(fetch)
        if number % 500 == 0 and cache.disk is not None:
            await cache.disk.flush()
    if cache.disk is not None:
        await cache.disk.flush()


def page(number: int) -> Entry:
    """A page as an origin gives it: its own tag and time, its site's tags."""
    site = number % 20
    return Entry(
        key=f"site-{site}.example.com /articles/{number % 97}/a-page-about-{number}.html",
        selecting=(),
        status=200,
        head="".join(f"{name}: {value}\r\n" for name, value in _fields(number, site)).encode(),
        size=0,
        part=None,
        stored_at=STORED_AT + number / 100,
        initial_age_s=0.0,
        lifetime_s=3_600.0,
        stale_if_error_s=86_400.0,
        stale_while_revalidate_s=60.0,
        rules=0,
        tags=(f"site-{site}", f"deploy-{site}"),
        plan="free",
    )


def _fields(number: int, site: int) -> Iterator[tuple[str, str]]:
    yield "content-type", "text/html; charset=utf-8"
    yield "content-length", str(BODY_BYTES)
    yield "etag", f'"{number:032x}"'
    yield "last-modified", f"Wed, 01 Feb 2017 {number % 24:02}:{number % 60:02}:00 GMT"
    yield "date", f"Thu, 02 Feb 2017 {number % 24:02}:{number // 60 % 60:02}:{number % 60:02} GMT"
    yield "cache-control", "public, max-age=3600, stale-while-revalidate=60"
    yield "cache-tag", f"site-{site},deploy-{site}"
    yield "vary", "accept-encoding"
    yield "strict-transport-security", "max-age=31536000"


def _resident() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


if __name__ == "__main__":
    main()
