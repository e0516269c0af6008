"""Taking: exact, stored once, whole or not at all."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from tests.recovery.snapshots.conftest import Bucket, Crash, Touches, touchy

from blackstart.errors import BlackstartError, StorageError
from blackstart.recovery.snapshots import Snapshots
from blackstart.recovery.snapshots.keys import CHUNKS, manifest_key

if TYPE_CHECKING:
    from tests.conftest import Bench

AWKWARD_IDS: list[Any] = [
    None, 1, Int64(2), 2.5, float("nan"), Decimal128("3.7"), "a", "ä", "", {"b": 1}, {"a": 2},
    ObjectId("0" * 24), True, False, datetime(2017, 2, 2, tzinfo=UTC),
    Binary(b"xy", 0), Binary(b"z", 5), Timestamp(3, 4), MinKey(), MaxKey(), Code("f()"),
]  # fmt: skip


async def test_every_document_of_every_collection_is_held_bit_for_bit(bucket: Bucket) -> None:
    database = bucket.bench.store.database
    await database["odd"].insert_many(
        {"zebra": {"x": [1, {"y": Regex("a", "i")}]}, "_id": key} for key in AWKWARD_IDS
    )
    taken = await bucket.take()
    assert await bucket.held(taken) == await bucket.database()
    assert taken.counts["odd"] == len(AWKWARD_IDS)
    assert taken.deploy_count == 40


async def test_indexes_and_options_are_kept(bucket: Bucket) -> None:
    database = bucket.bench.store.database
    await database["deploys"].create_index(
        [("_id", -1), ("value", -1)], unique=True, name="by_number"
    )
    taken = await bucket.take()
    reader = await bucket.snapshots.open(taken.id)
    found = {index["name"]: index for index in reader.indexes("deploys")}
    assert dict(found["by_number"]["key"]) == {"_id": -1, "value": -1}
    assert found["by_number"]["unique"]


async def test_what_did_not_change_is_neither_written_nor_read_again(bucket: Bucket) -> None:
    await bucket.take()
    newest = await bucket.take()
    before = await bucket.bench.objects.list_keys(CHUNKS)
    touches = Touches()
    reads: list[str] = []

    class Watched(type(touchy(bucket.bench.objects, touches))):  # type: ignore[misc]
        async def get(self, key: str) -> bytes:
            reads.append(key)
            return bytes(await super().get(key))

    watched = Watched(bucket.bench.objects.backend)
    watched.touches = touches
    second = await bucket.take(Snapshots(watched))
    assert await bucket.bench.objects.list_keys(CHUNKS) == before
    assert second.stored_bytes == 0
    assert reads == [manifest_key(newest.id)], "no chunk, and no older manifest"


async def test_a_changed_document_costs_a_patch_and_never_a_patch_of_a_patch(
    bucket: Bucket,
) -> None:
    deploys = bucket.bench.store.database["deploys"]
    random = bucket.bench.seed.fork("text").random
    for number in range(40):
        text = random.randbytes(300).hex()
        await deploys.update_one({"_id": f"{number:03}"}, {"$set": {"text": text}})
    await bucket.take()
    for value in range(1, 4):
        await deploys.update_one({"_id": "007"}, {"$set": {"value": value}})
        taken = await bucket.take()
        manifest = await bucket.snapshots.manifest(taken.id)
        patches = [chunk for chunk in manifest.chunks().values() if chunk.base]
        assert len(patches) == 1
        whole = {chunk.name for chunk in manifest.chunks().values() if not chunk.base}
        assert patches[0].base not in whole, "the base is the first snapshot's chunk"
        assert patches[0].stored_bytes < 100
        assert await bucket.held(taken) == await bucket.database()


async def test_a_chunk_that_changed_altogether_stands_alone(bucket: Bucket) -> None:
    await bucket.take()
    random = bucket.bench.seed.fork("noise").random
    async for raw in bucket.bench.store.database["deploys"].find({}):
        await bucket.bench.store.database["deploys"].update_one(
            {"_id": raw["_id"]}, {"$set": {"noise": random.randbytes(900)}}
        )
    taken = await bucket.take()
    manifest = await bucket.snapshots.manifest(taken.id)
    assert not any(chunk.base for chunk in manifest.chunks().values())
    assert await bucket.held(taken) == await bucket.database()


async def test_a_damaged_base_does_not_stop_the_next_snapshot(bucket: Bucket) -> None:
    first = await bucket.take()
    manifest = await bucket.snapshots.manifest(first.id)
    for chunk in manifest.chunks().values():
        await bucket.bench.objects.put(f"{CHUNKS}{chunk.name[:2]}/{chunk.name}", b"damaged")
    await bucket.bench.store.database["deploys"].update_many({}, {"$set": {"value": 7}})
    taken = await bucket.take()
    assert await bucket.held(taken) == await bucket.database()


async def test_an_empty_database_makes_a_snapshot_that_says_so(bench: Bench) -> None:
    taken = await Bucket(bench, Snapshots(bench.objects)).take()
    assert taken.is_empty


async def test_two_of_the_same_moment_are_two(bucket: Bucket) -> None:
    bench = bucket.bench
    seed = bench.seed.fork("snapshots")
    both = [await bucket.snapshots.take(bench.store.database, bench.clock, seed) for _ in range(2)]
    assert len({each.id for each in both}) == 2
    assert sorted(each.id for each in await bucket.snapshots.all()) == sorted(
        each.id for each in both
    )


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("error", [StorageError, Crash])
async def test_a_take_that_ends_at_any_touch_of_the_store_is_never_half_listed(
    bucket: Bucket, error: type[BaseException], after: bool
) -> None:
    first = await bucket.take()
    was = await bucket.database()
    await bucket.bench.store.database["deploys"].update_many({}, {"$inc": {"value": 1}})
    now = await bucket.database()
    ends = 0
    for at in range(200):
        touches = Touches(at, error)
        store = touchy(bucket.bench.objects, touches, after=after)
        known = {each.id for each in await bucket.snapshots.all()}
        try:
            await bucket.take(Snapshots(store))
        except (BlackstartError, Crash):
            ends += 1
        for snapshot in await bucket.snapshots.all():
            wanted = was if snapshot.id == first.id else now
            assert await bucket.held(snapshot) == wanted
        assert (await bucket.snapshots.listing()).damaged == ()
        new = {each.id for each in await bucket.snapshots.all()} - known
        if touches.count <= at:
            assert len(new) == 1
            break
        await bucket.bench.objects.delete(f"snapshots/manifests/{each}" for each in new)
    assert ends >= 10


async def test_a_cancelled_take_leaves_nothing_behind_its_back(bucket: Bucket) -> None:
    import asyncio

    task = asyncio.create_task(bucket.take())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await bucket.snapshots.all() == []
