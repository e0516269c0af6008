"""What differs between snapshots and the database: exactly, by field, and without reading twice."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from bson import Decimal128, Int64, ObjectId
from tests.recovery.snapshots.conftest import Bucket

from blackstart.errors import ConflictError, UsageError
from blackstart.recovery.diff import (
    Comparison,
    Difference,
    LiveSide,
    SnapshotSide,
    Summary,
    compare,
    field_changes,
)
from blackstart.recovery.snapshots import PatientReader, Snapshot
from blackstart.recovery.snapshots.keys import MANIFESTS, chunk_key
from blackstart.recovery.snapshots.source import inventory_of, reading


def changes(before: Any, after: Any) -> list[tuple[str, str]]:
    found = field_changes(bson.encode(before), bson.encode(after))
    return [(each.path, each.kind.value) for each in found]


def unwatched(count: int) -> None:
    return None


@pytest.fixture
async def database(bucket: Bucket) -> Any:
    return bucket.bench.store.database


async def between(
    bucket: Bucket,
    one: Snapshot,
    other: Snapshot | None,
    collections: Sequence[str] = (),
) -> tuple[list[Difference], Summary]:
    """From one snapshot to another, or to the database."""
    left = SnapshotSide(await bucket.snapshots.open_patiently(one.id))
    if other is not None:
        right = SnapshotSide(await bucket.snapshots.open_patiently(other.id))
        comparison = Comparison(left, right, collections)
        return [each async for each in comparison.run(unwatched)], comparison.summary
    live = bucket.bench.store.database
    async with reading(live) as source:
        comparison = Comparison(left, LiveSide(source, await inventory_of(live)), collections)
        return [each async for each in comparison.run(unwatched)], comparison.summary


def told(found: Sequence[Difference]) -> list[tuple[str, str, Any, list[tuple[str, str]]]]:
    return [
        (each.kind, each.collection, each.id, [(one.path, one.kind.value) for one in each.fields])
        for each in found
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (1, Int64(1)),
        (1, 1.0),
        (Int64(1), 1.0),
        (1, Decimal128("1")),
        (Decimal128("1.0"), Decimal128("1.00")),
        (0.0, -0.0),
        (None, False),
        ("1", 1),
        ({"a": 1}, [1]),
        ([1, 2], [2, 1]),
        (ObjectId("0" * 24), "0" * 24),
        (math.nan, 0.0),
    ],
)
def test_values_of_another_type_differ(before: Any, after: Any) -> None:
    assert changes({"v": before}, {"v": after}) == [("v", "changed")]


def test_not_a_number_equals_itself_and_no_other_one() -> None:
    assert changes({"v": math.nan}, {"v": math.nan}) == []
    (other,) = struct.unpack("<d", struct.pack("<Q", 0x7FF8000000000001))
    assert changes({"v": math.nan}, {"v": other}) == [("v", "changed")]


def test_fields_are_told_by_their_path() -> None:
    before = {"metadata": {"tree": "t", "deep": {"a": 1, "b": 2}}, "number": 1, "gone": {"x": 1}}
    after = {"metadata": {"deep": {"a": 1, "b": 3}, "new": 1}, "number": 2}
    assert changes(before, after) == [
        ("metadata.tree", "removed"),
        ("metadata.deep.b", "changed"),
        ("metadata.new", "added"),
        ("number", "changed"),
        ("gone", "removed"),
    ]


def test_order_counts_inside_documents_and_not_of_the_document_itself() -> None:
    assert changes({"a": 1, "b": 2}, {"b": 2, "a": 1}) == []
    assert changes({"m": {"a": 1, "b": 2}}, {"m": {"b": 2, "a": 1}}) == [("m", "reordered")]
    assert changes({"m": {"a": 1, "b": 2}}, {"m": {"b": 2}}) == [("m.a", "removed")]


async def test_documents_are_added_removed_and_changed(bucket: Bucket, database: Any) -> None:
    one = await bucket.take()
    await database["deploys"].update_one({"_id": "007"}, {"$unset": {"metadata.tree": ""}})
    await database["deploys"].delete_one({"_id": "008"})
    await database["deploys"].insert_one({"_id": "0071"})
    await database["sites"].insert_one({"_id": 1})
    expected = [
        ("changed", "deploys", "007", [("metadata.tree", "removed")]),
        ("added", "deploys", "0071", []),
        ("removed", "deploys", "008", []),
        ("added", "sites", 1, []),
    ]
    other = await bucket.take()
    for right in (other, None):
        found, summary = await between(bucket, one, right)
        assert told(found) == expected
        assert (
            summary.as_row()
            == {
                "documents": {
                    "deploys": {"added": 1, "removed": 1, "changed": 1},
                    "sites": {"added": 1},
                },
                "fields": [{"collection": "deploys", "path": "metadata.tree", "removed": 1}],
                "uncompared": {"deploys": 0, "sites": 0} if "sites" in summary.uncompared else {},
            }
            or not summary.uncompared.total()
        )
    back, _ = await between(bucket, other, one)
    assert [each[:3] for each in told(back)] == [
        ("changed", "deploys", "007"),
        ("removed", "deploys", "0071"),
        ("added", "deploys", "008"),
        ("removed", "sites", 1),
    ]


async def test_a_snapshot_equals_itself_and_the_database_it_was_taken_of(
    bucket: Bucket,
    database: Any,
) -> None:
    await database["odd"].insert_many(
        {"_id": key, "v": math.nan} for key in (1, 2.5, "a", ObjectId("1" * 24), {"a": 1}, None)
    )
    one = await bucket.take()
    for other in (one, await bucket.take(), None):
        assert await between(bucket, one, other) == ([], Summary())


async def test_chunks_that_both_hold_are_not_read(
    bucket: Bucket,
    database: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = await bucket.take()
    await database["deploys"].update_one({"_id": "020"}, {"$set": {"value": 1}})
    other = await bucket.take()
    read: list[str] = []
    get = type(bucket.bench.objects).get

    async def watch(self: Any, key: str) -> bytes:
        read.append(key)
        return await get(self, key)

    monkeypatch.setattr(type(bucket.bench.objects), "get", watch)
    found, _ = await between(bucket, one, other)
    assert told(found) == [("changed", "deploys", "020", [("value", "changed")])]
    chunks = [key for key in read if not key.startswith(MANIFESTS)]
    # The chunk as it was, and as it is: that one may be kept as a patch of the other.
    assert 2 <= len(chunks) <= 3
    assert len((await bucket.snapshots.manifest(one.id)).collections["deploys"].chunks) > 4
    read.clear()
    await between(bucket, other, other)
    assert all(key.startswith(MANIFESTS) for key in read)


async def test_what_a_damaged_chunk_held_is_neither_removed_nor_added(
    bucket: Bucket,
    database: Any,
) -> None:
    one = await bucket.take()
    await database["deploys"].update_many({}, {"$set": {"value": 1}})
    other = await bucket.take()
    lost = (await bucket.snapshots.manifest(one.id)).collections["deploys"].chunks[2]
    await bucket.bench.objects.delete([chunk_key(lost.name)])
    for left, right, kept in ((one, other, 40), (one, None, 40), (other, one, 40)):
        found, summary = await between(bucket, left, right)
        assert {each.kind for each in found} == {"changed"}
        assert len(found) == kept - lost.count
        assert summary.uncompared["deploys"] >= lost.count


async def test_only_the_collections_that_are_named_are_compared(
    bucket: Bucket,
    database: Any,
) -> None:
    one = await bucket.take()
    await database["deploys"].drop()
    await database["sites"].insert_one({"_id": 1, "at": datetime(2017, 2, 2, tzinfo=UTC)})
    found, _ = await between(bucket, one, None, ["sites"])
    assert found[0].as_row() == {
        "collection": "sites",
        "_id": 1,
        "change": "added",
        "document": {"_id": 1, "at": {"$date": "2017-02-02T00:00:00Z"}},
    }
    found, summary = await between(bucket, one, None)
    assert len(found) == 41
    assert summary.documents["deploys"] == {"removed": 40}
    with pytest.raises(UsageError, match="has a collection pages"):
        await between(bucket, one, None, ["pages"])


async def test_a_collection_in_an_order_of_its_own_is_compared_in_memory(
    bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = await bucket.snapshots.manifest((await bucket.take()).id)
    reader = PatientReader(one, bucket.snapshots.chunks)
    monkeypatch.setattr(reader, "is_ordered", lambda name: False)
    await bucket.bench.store.database["deploys"].delete_one({"_id": "003"})
    other = SnapshotSide(await bucket.snapshots.open_patiently((await bucket.take()).id))
    found = [each async for each in Comparison(SnapshotSide(reader), other).run(unwatched)]
    assert told(found) == [("removed", "deploys", "003", [])]
    monkeypatch.setattr(compare, "MEMORY_BYTES", 100)
    with pytest.raises(ConflictError, match="collation"):
        [each async for each in Comparison(SnapshotSide(reader), other).run(unwatched)]


async def test_a_path_of_its_own_for_each_document_does_not_fill_the_memory() -> None:
    summary = Summary()
    for number in range(2_100):
        change = field_changes(bson.encode({}), bson.encode({f"f{number}": 1}))
        summary.add("deploys", change[0].kind, change)
    assert len(summary.fields) == 2_001
    assert summary.most_first()[0][:2] == ("deploys", "(others)")
