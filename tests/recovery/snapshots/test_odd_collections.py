"""Collections that are not like the platform's: views, other orders, long and uneven documents."""

from __future__ import annotations

from typing import Any

from bson import Binary, Int64
from tests.recovery.snapshots.conftest import Bucket

from blackstart.recovery.snapshots import cutting
from blackstart.recovery.snapshots.source import reading


async def test_a_view_is_kept_as_its_definition(bucket: Bucket) -> None:
    database = bucket.bench.store.database
    pipeline = [{"$match": {"value": Int64(7)}}]
    await database.create_collection("seen", viewOn="deploys", pipeline=pipeline)
    reader = await bucket.snapshots.open((await bucket.take()).id)
    assert "seen" not in reader.collections()
    kept = reader.manifest.views["seen"]
    assert kept["viewOn"] == "deploys"
    assert isinstance(kept["pipeline"][0]["$match"]["value"], Int64)


async def test_an_order_of_another_kind_is_noticed_and_every_document_still_found(
    bucket: Bucket,
) -> None:
    """The embedded server sorts binary data by length and bytes, where MongoDB asks the subtype."""
    database = bucket.bench.store.database
    keys = [Binary(bytes([a, b]), 128 + a % 3) for a in range(8) for b in range(8)]
    await database["odd"].insert_many({"_id": key, "n": n} for n, key in enumerate(keys))
    reader = await bucket.snapshots.open((await bucket.take()).id)
    assert not reader.manifest.collections["odd"].ordered
    assert reader.manifest.collections["deploys"].ordered
    for number, key in enumerate(keys):
        found = await reader.get("odd", key)
        assert found is not None
        assert found["n"] == number
    assert await reader.get("odd", Binary(b"zz", 128)) is None
    after = [raw["n"] async for raw in reader.scan("odd", start=keys[9])]
    assert keys.index(keys[9]) in after


async def test_boundaries_stay_where_they_are_when_documents_grow(bucket: Bucket) -> None:
    deploys = bucket.bench.store.database["deploys"]
    before = (await bucket.snapshots.manifest((await bucket.take()).id)).collections["deploys"]
    await deploys.update_many({"value": 0}, {"$set": {"text": "x" * 300}})
    after = (await bucket.snapshots.manifest((await bucket.take()).id)).collections["deploys"]
    assert [each.first_id for each in after.chunks] == [each.first_id for each in before.chunks]
    assert after.bits == before.bits


async def test_documents_of_another_size_altogether_are_cut_anew(
    bucket: Bucket, monkeypatch: Any
) -> None:
    monkeypatch.setattr(cutting, "TARGET_BYTES", 10_000)
    deploys = bucket.bench.store.database["deploys"]
    await bucket.take()
    await deploys.update_many({}, {"$set": {"text": "x" * 8_000}})
    for _ in range(2):
        taken = await bucket.take()
    after = (await bucket.snapshots.manifest(taken.id)).collections["deploys"]
    assert after.bits == 0
    assert await bucket.held(taken) == await bucket.database()


async def test_a_document_larger_than_a_chunk_may_be_is_a_chunk(
    bucket: Bucket, monkeypatch: Any
) -> None:
    monkeypatch.setattr(cutting, "MAX_BYTES", 1_000)
    await bucket.bench.store.database["deploys"].insert_one({"_id": "big", "text": "x" * 5_000})
    taken = await bucket.take()
    held = (await bucket.snapshots.manifest(taken.id)).collections["deploys"]
    assert [each.count for each in held.chunks if each.raw_bytes > 1_000] == [1]
    assert await bucket.held(taken) == await bucket.database()


async def test_all_collections_are_of_one_moment_where_the_server_can(bucket: Bucket) -> None:
    """Both sides of a change that comes between two collections are as they were before it."""
    database = bucket.bench.store.database
    await database["zz_last"].insert_one({"_id": 1, "value": 0})
    async with reading(database) as source:
        first = [batch async for batch in source.batches("deploys")]
        await database["zz_last"].update_one({"_id": 1}, {"$set": {"value": 1}})
        last = [batch async for batch in source.batches("zz_last")]
        assert source.is_consistent
    assert first
    assert b"value\x00\x00\x00\x00\x00" in b"".join(last), "the change came after that moment"
