"""What a snapshot costs beside a bare scan, and what the next one adds after a few changes.

    .venv/bin/python benchmarks/snapshots.py [--deploys 100000] [--rounds 5] [--changed 0.01]
                                             [--least 0.7] [--most 0.05]

Fills one server (BLACKSTART_MONGODB_URI, or an embedded one) with deploys. Then
each round reads them all with a bare `find` and takes a first snapshot into a
folder of its own, in an order that alternates. At last some deploys, scattered
over all, get other metadata, and a second snapshot is taken onto the last first
one. Ends with status 1 when the median ratio of scan to snapshot, or the second's
bytes, miss their limit.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from blackstart.clock import WallClock
from blackstart.model import Deploy, DeployState, Metadata
from blackstart.recovery.snapshots import Snapshot, Snapshots
from blackstart.seed import Seed
from blackstart.store import MetadataStore, ObjectStore, embedded_mongodb
from blackstart.store.metadata import connect

DATABASE = "benchmark-snapshots"
BATCH = 5_000
START = datetime(2017, 2, 2, tzinfo=UTC)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time snapshots beside bare scans.")
    parser.add_argument("--deploys", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--changed", type=float, default=0.01, help="part that changes")
    parser.add_argument("--least", type=float, default=0.7, help="ratio of scan to snapshot")
    parser.add_argument("--most", type=float, default=0.05, help="second's bytes, part of first's")
    sys.exit(0 if asyncio.run(_run(parser.parse_args())) else 1)


async def _run(arguments: argparse.Namespace) -> bool:
    async with filled_store(DATABASE, arguments.deploys) as store:
        ratios = []
        with tempfile.TemporaryDirectory() as folder:
            for number in range(arguments.rounds):
                objects = ObjectStore.open(str(Path(folder) / str(number)))
                snapshots = Snapshots(objects)
                ratio, first = await _round(store, snapshots, scan_first=number % 2 == 0)
                ratios.append(ratio)
            share = await _second(store, objects, first, arguments.changed)
        median = statistics.median(ratios)
        print(f"scan / snapshot: median {median:.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"this process took at most {peak_mb:.0f} MB")
        return median >= arguments.least and share <= arguments.most


async def _round(
    store: MetadataStore, snapshots: Snapshots, *, scan_first: bool
) -> tuple[float, Snapshot]:
    if scan_first:
        scan_s = await _scan(store)
    start = time.perf_counter()
    first = await snapshots.take(store.database, WallClock(), Seed.from_entropy())
    take_s = time.perf_counter() - start
    if not scan_first:
        scan_s = await _scan(store)
    print(f"bare scan {scan_s:.2f} s, snapshot {take_s:.2f} s, ratio {scan_s / take_s:.2f}")
    return scan_s / take_s, first


async def _scan(store: MetadataStore) -> float:
    """Seconds of reading every document of every collection, in no order, and dropping it."""
    start = time.perf_counter()
    for name in await store.database.list_collection_names():
        async for _ in store.database[name].find({}):
            pass
    return time.perf_counter() - start


async def _second(
    store: MetadataStore,
    objects: ObjectStore,
    first: Snapshot,
    part: float,
) -> float:
    """What the second writes, its manifest with it, as a part of what the first wrote.

    It must read the first's manifest, and each chunk that it stores a patch of; nothing twice.
    """
    before = await _bytes(objects)
    watched = _Watched(objects.backend)
    watched.reads = Counter()
    snapshots = Snapshots(watched)
    changed = await _change(store, part)
    start = time.perf_counter()
    second = await snapshots.take(store.database, WallClock(), Seed.from_entropy())
    took_s = time.perf_counter() - start
    added = await _bytes(objects) - before
    print(f"first: {first.raw_bytes:,} bytes of BSON, {before:,} stored")
    print(
        f"second, {changed:,} changed: {added:,} bytes more ({added / before:.1%}), {took_s:.2f} s"
    )
    assert second.id != first.id
    assert max(watched.reads.values()) == 1, "an object was read twice"
    manifest = await Snapshots(objects).manifest(first.id)
    ours = {chunk.digest for chunk in manifest.chunks().values()}
    chunks = (await Snapshots(objects).manifest(second.id)).chunks().values()
    new = [chunk for chunk in chunks if chunk.digest not in ours]
    print(f"it read {len(watched.reads)} objects to patch {len(new)} chunks of {len(chunks)}")
    return added / before


class _Watched(ObjectStore):
    """Counts what is read, by key."""

    reads: Counter[str]

    async def get(self, key: str) -> bytes:
        self.reads[key] += 1
        return await super().get(key)


async def _bytes(objects: ObjectStore) -> int:
    return sum([len(await objects.get(key)) for key in await objects.list_keys("")])


@asynccontextmanager
async def filled_store(database: str, deploys: int) -> AsyncIterator[MetadataStore]:
    """So many deploys on the server that is named, dropped afterwards, or on an embedded one."""
    given = os.environ.get("BLACKSTART_MONGODB_URI")
    if given:
        async with connect(given, database) as store:
            await _fill(store, deploys)
            yield store
            await store.drop()
        return
    async with embedded_mongodb() as uri, connect(uri, database) as store:
        await _fill(store, deploys)
        yield store


async def _fill(store: MetadataStore, count: int) -> None:
    await store.create_indexes()
    seed = Seed(1)
    for start in range(0, count, BATCH):
        deploys = [_deploy(number, seed) for number in range(start, min(start + BATCH, count))]
        await store.database["deploys"].insert_many([deploy.to_mongo() for deploy in deploys])


def _deploy(number: int, seed: Seed) -> Deploy:
    at = START + timedelta(seconds=number)
    return Deploy(
        id=seed.new_id(),
        site_id=f"{number % 5_000:024x}",
        number=number // 5_000 + 1,
        state=DeployState.READY,
        branch="main",
        title=f"Say more about part {number}",
        commit_ref=seed.random.randbytes(20).hex(),
        build_id=seed.new_id(),
        created_at=at,
        metadata=_metadata(at, seed),
    )


def _metadata(at: datetime, seed: Seed) -> Metadata:
    return Metadata(
        tree=seed.random.randbytes(32).hex(),
        completed_at=at + timedelta(seconds=20),
        file_count=seed.random.randrange(2_000),
        byte_count=seed.random.randrange(10**8),
        pending_uploads=[],
    )


async def _change(store: MetadataStore, part: float) -> int:
    """Other metadata for a part of the deploys, drawn from all."""
    seed = Seed(2)
    ids: list[Any] = await store.database["deploys"].distinct("_id")
    drawn = seed.random.sample(sorted(ids), round(len(ids) * part))
    for each in drawn:
        metadata = _metadata(START, seed).model_dump()
        await store.database["deploys"].update_one({"_id": each}, {"$set": {"metadata": metadata}})
    return len(drawn)


if __name__ == "__main__":
    main()
