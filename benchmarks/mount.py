"""What a look-up by `_id` in a mounted snapshot costs, small against large, and mounting itself.

    .venv/bin/python benchmarks/mount.py [--small 10000] [--large 1000000] [--look-ups 300]

Takes two snapshots, of deploys that are made up, and mounts both. PyMongo then
looks documents up by `_id`, in one and the other in turn and all over them, each in
a chunk that has to be read: chunks read before are not kept at hand, as all those of
the small snapshot would be. Prints when each mount was ready, the median of the
look-ups, that of looking one document up again and again with its chunk at hand, and
how fast a filter on another field goes through all documents. Ends with status 1
when look-ups in the large one take longer by more than the limit, or when it
was not ready within a second.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from blackstart.clock import WallClock
from blackstart.recovery.mount import Source
from blackstart.recovery.snapshots import Snapshots, reading
from blackstart.seed import Seed
from blackstart.store import ObjectStore
from made import Client, Made, served

READY_S = 1.0
STRIDE = 7_919


def main() -> None:
    parser = argparse.ArgumentParser(description="Time look-ups in mounted snapshots.")
    parser.add_argument("--small", type=int, default=10_000, help="documents of the one")
    parser.add_argument("--large", type=int, default=1_000_000, help="documents of the other")
    parser.add_argument("--look-ups", type=int, default=300, help="in each")
    parser.add_argument("--limit", type=float, default=2.0, help="how much longer one may take")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        objects = ObjectStore.open(folder)
        passed = asyncio.run(_run(objects, arguments))
    sys.exit(0 if passed else 1)


async def _run(objects: ObjectStore, arguments: argparse.Namespace) -> bool:
    counts = [arguments.small, arguments.large]
    ids = [await _take(objects, count) for count in counts]
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(_mounted(objects, each)) for each in ids]
        mounts = [
            (client[f"bench-{count}"]["deploys"], count)
            for (client, _), count in zip(opened, counts, strict=True)
        ]
        reading.CACHED_CHUNKS = 0
        medians_ms = await _look_up(mounts, arguments.look_ups)
        reading.CACHED_CHUNKS = 32
        again_ms = await _look_up([(deploys, 1) for deploys, _ in mounts], arguments.look_ups)
        rates = [await _search(deploys, count) for deploys, count in mounts]
    for at, count in enumerate(counts):
        print(
            f"{count:>9,} documents: ready in {opened[at][1] * 1000:.0f} ms, "
            f"{medians_ms[at]:.2f} ms a look-up ({again_ms[at]:.2f} ms again), "
            f"{rates[at]:,.0f} documents/s searched",
            flush=True,
        )
    ratio = medians_ms[1] / medians_ms[0]
    print(f"ratio of the look-ups {ratio:.2f} (limit {arguments.limit:g})")
    return ratio <= arguments.limit and max(took_s for _, took_s in opened) <= READY_S


async def _take(objects: ObjectStore, count: int) -> str:
    """A snapshot of deploys that are made up, which a mount serves as if they were one already."""
    start_s = time.perf_counter()
    async with _served(Made({"deploys": (count, _deploy)}), f"bench-{count}") as client:
        database = client[f"bench-{count}"]
        taken = await Snapshots(objects).take(database, WallClock(), Seed(count))
    print(f"{count:>9,} documents: taken in {time.perf_counter() - start_s:.1f} s", flush=True)
    return taken.id


def _deploy(number: int) -> dict[str, Any]:
    return {
        "_id": f"{number:024x}",
        "site_id": f"{number % 5_000:024x}",
        "number": number,
        "state": "ready",
        "branch": "main",
        "metadata": {"tree": f"{number:040x}", "file_count": number % 90, "pending_uploads": []},
    }


@asynccontextmanager
async def _mounted(objects: ObjectStore, snapshot_id: str) -> AsyncIterator[tuple[Client, float]]:
    """A client of the mount, and how long it took from the id to the first answer."""
    start_s = time.perf_counter()
    reader = await Snapshots(objects).open(snapshot_id)
    async with _served(reader, reader.snapshot.database) as client:
        await client.admin.command("ping")
        yield client, time.perf_counter() - start_s


@asynccontextmanager
async def _served(source: Source, database: str) -> AsyncIterator[Client]:
    async with served(source, database) as uri, Client(uri) as client:
        yield client


async def _look_up(mounts: list[tuple[Any, int]], look_ups: int) -> list[float]:
    """The median in milliseconds of each mount, one look-up here and one there in turn.

    Each comes from a part of its collection of its own.
    """
    took_s: list[list[float]] = [[] for _ in mounts]
    for turn in range(look_ups):
        for at, (deploys, count) in enumerate(mounts):
            wanted = _deploy(turn * STRIDE % count)
            start_s = time.perf_counter()
            found = await deploys.find_one({"_id": wanted["_id"]})
            took_s[at].append(time.perf_counter() - start_s)
            assert found == wanted
    return [statistics.median(each) * 1000 for each in took_s]


async def _search(deploys: Any, count: int) -> float:
    """Documents a second, by a filter that only a few match and no order helps."""
    start_s = time.perf_counter()
    found = await deploys.count_documents({"site_id": f"{17:024x}"})
    assert found == len(range(17, count, 5_000))
    return count / (time.perf_counter() - start_s)


if __name__ == "__main__":
    main()
