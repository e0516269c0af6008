"""Reading a mounted snapshot by PyMongo: find, cursors, count, distinct, and their bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient, MongoClient
from pymongo.errors import CursorNotFound, ExecutionTimeout, OperationFailure
from tests.recovery.mount.conftest import Mounted, deploys

from blackstart.recovery.mount import cursors


def key(number: int) -> str:
    return f"{number:024x}"


async def test_a_document_is_found_by_its_id_and_nothing_else_is_read(mounted: Mounted) -> None:
    assert await mounted.deploys.find_one({"_id": key(7)}) == deploys(8)[7]
    assert await mounted.deploys.find_one({"_id": key(5_000)}) is None
    assert mounted.snapshot.got == [key(7), key(5_000)]
    assert mounted.snapshot.scanned == 0


async def test_several_ids_are_read_one_by_one_in_order(mounted: Mounted) -> None:
    asked = {"_id": {"$in": [key(9), key(3), key(9), "nobody"]}}
    assert [each["number"] async for each in mounted.deploys.find(asked)] == [3, 9]
    assert mounted.snapshot.got == [key(3), key(9), "nobody"]
    assert mounted.snapshot.scanned == 0


async def test_the_rest_of_a_filter_holds_for_a_document_found_by_id(mounted: Mounted) -> None:
    assert await mounted.deploys.find_one({"_id": key(7), "number": 8}) is None
    assert await mounted.deploys.find_one({"$and": [{"_id": key(7)}, {"number": 7}]}) is not None
    assert mounted.snapshot.scanned == 0


@pytest.mark.parametrize(
    ("asked", "numbers", "read"),
    [
        ({"$gte": key(995)}, range(995, 1_000), 5),
        ({"$gt": key(995)}, range(996, 1_000), 5),
        ({"$lt": key(4)}, range(4), 6),
        ({"$lte": key(4)}, range(5), 6),
        ({"$gte": key(10), "$lt": key(12)}, range(10, 12), 4),
        ({"$gt": 5}, range(0), 1),
        ({"$gt": ObjectId(b"\0" * 12)}, range(0), 0),
        ({"$gte": key(990), "$lt": 5}, range(0), 10),
    ],
)
async def test_a_range_of_ids_reads_that_range(
    mounted: Mounted, asked: dict[str, Any], numbers: range, read: int
) -> None:
    found = [each["number"] async for each in mounted.deploys.find({"_id": asked})]
    assert found == list(numbers)
    assert mounted.snapshot.scanned <= read


async def test_ids_in_no_known_order_are_searched_for_and_sorted(mounted: Mounted) -> None:
    """As under a collation: nothing is left out by the place it would have."""
    mounted.snapshot.unordered.add("deploys")
    mounted.snapshot.held["deploys"].reverse()
    assert (await mounted.deploys.find_one({"_id": key(7)}))["number"] == 7
    asked = {"_id": {"$gte": key(3), "$lt": key(6)}}
    assert [each["number"] async for each in mounted.deploys.find(asked)] == [5, 4, 3]
    ascending = mounted.deploys.find(asked).sort("_id", 1)
    assert [each["number"] async for each in ascending] == [3, 4, 5]
    assert mounted.snapshot.got == []


async def test_any_filter_sort_projection_skip_and_limit(mounted: Mounted) -> None:
    cursor = mounted.deploys.find(
        {"state": "error", "metadata.file_count": {"$gte": 3}},
        {"_id": 0, "number": 1, "metadata.tree": 1},
        sort=[("metadata.file_count", -1), ("number", -1)],
        skip=1,
        limit=3,
    )
    assert await cursor.to_list() == [
        {"number": number, "metadata": {"tree": f"tree-{number}"}} for number in (984, 969, 954)
    ]


async def test_a_cursor_gives_all_documents_once_in_order(mounted: Mounted) -> None:
    for size in (0, 1, 7, 2_000):
        found = [each["number"] async for each in mounted.deploys.find(batch_size=size)]
        assert found == list(range(1_000))
    assert len(mounted.mount.commands.cursors) == 0


async def test_a_batch_ends_before_it_is_too_large(mount_of: Callable[..., Any]) -> None:
    large = [{"_id": number, "text": "x" * 6_000_000} for number in range(6)]
    mounted = await mount_of(deploys=large)
    assert await mounted.deploys.find().to_list() == large
    first = await mounted.client["blackstart"].command("find", "deploys")
    assert len(first["cursor"]["firstBatch"]) == 2


async def test_single_batches_and_killed_cursors_leave_nothing_open(mounted: Mounted) -> None:
    held = mounted.mount.commands.cursors
    database = mounted.client["blackstart"]
    await database.command("find", "deploys", batchSize=2, singleBatch=True)
    assert len(held) == 0
    opened = await database.command("find", "deploys", batchSize=0)
    assert opened["cursor"]["firstBatch"] == []
    number = opened["cursor"]["id"]
    assert len(held) == 1
    other = await database.command("killCursors", "sites", cursors=[number])
    assert (other["cursorsKilled"], other["cursorsNotFound"]) == ([], [number])
    killed = await database.command("killCursors", "deploys", cursors=[number])
    assert killed["cursorsKilled"] == [number]
    with pytest.raises(CursorNotFound):
        await database.command("getMore", Int64(number), collection="deploys")


async def test_a_cursor_that_nobody_asks_for_is_forgotten(mounted: Mounted) -> None:
    cursor = mounted.deploys.find(batch_size=2)
    await cursor.next()
    mounted.clock.advance(599)
    assert len(await cursor.to_list(5)) == 5
    mounted.clock.advance(601)
    with pytest.raises(CursorNotFound):
        await cursor.to_list()
    assert len(mounted.mount.commands.cursors) == 0


async def test_beyond_the_limit_the_cursor_idle_longest_is_forgotten(mounted: Mounted) -> None:
    database = mounted.client["blackstart"]
    opened = [
        (await database.command("find", "deploys", batchSize=1))["cursor"]["id"]
        for _ in range(cursors.MAX_CURSORS + 1)
    ]
    assert len(mounted.mount.commands.cursors) == cursors.MAX_CURSORS
    with pytest.raises(CursorNotFound):
        await database.command("getMore", Int64(opened[0]), collection="deploys")
    await database.command("getMore", Int64(opened[1]), collection="deploys", batchSize=1)


async def test_a_cursor_belongs_to_its_collection(mounted: Mounted) -> None:
    database = mounted.client["blackstart"]
    number = (await database.command("find", "deploys", batchSize=1))["cursor"]["id"]
    with pytest.raises(OperationFailure) as refused:
        await database.command("getMore", Int64(number), collection="sites")
    assert refused.value.code == 13


async def test_time_is_up_while_documents_are_looked_at(mounted: Mounted) -> None:
    scan = mounted.snapshot.scan

    async def slow(*arguments: Any, **more: Any) -> Any:
        async for each in scan(*arguments, **more):
            mounted.clock.advance(0.01)
            yield each

    mounted.snapshot.scan = slow  # type: ignore[method-assign]
    asked = mounted.deploys.find({"number": -1})
    with pytest.raises(ExecutionTimeout):
        await asked.max_time_ms(3_000).to_list()
    assert await mounted.deploys.find({"number": -1}).max_time_ms(20_000).to_list() == []


async def test_the_batches_of_a_cursor_share_their_time(mounted: Mounted) -> None:
    scan = mounted.snapshot.scan

    async def slow(*arguments: Any, **more: Any) -> Any:
        async for each in scan(*arguments, **more):
            mounted.clock.advance(0.001)
            yield each

    mounted.snapshot.scan = slow  # type: ignore[method-assign]
    cursor = mounted.deploys.find(batch_size=300).max_time_ms(700)
    with pytest.raises(ExecutionTimeout):
        await cursor.to_list()
    assert len(await mounted.deploys.find(batch_size=300).max_time_ms(2_000).to_list()) == 1_000


async def test_the_time_a_client_takes_does_not_count(mounted: Mounted) -> None:
    cursor = mounted.deploys.find(batch_size=250).max_time_ms(1_000)
    await cursor.next()
    mounted.clock.advance(300)
    assert len(await cursor.to_list()) == 999


async def test_counting(mounted: Mounted) -> None:
    assert await mounted.deploys.estimated_document_count() == 1_000
    assert mounted.snapshot.scanned == 0
    assert await mounted.deploys.count_documents({}) == 1_000
    assert await mounted.deploys.count_documents({"state": "error"}) == 334
    assert await mounted.deploys.count_documents({"state": "none"}) == 0
    assert await mounted.deploys.count_documents({"state": "error"}, skip=4, limit=10) == 10
    database = mounted.client["blackstart"]
    for options, counted in [({"skip": 990}, 10), ({"limit": -5}, 5), ({"skip": 2_000}, 0)]:
        assert (await database.command("count", "deploys", **options))["n"] == counted
    query = {"state": "error"}
    assert (await database.command("count", "deploys", query=query, limit=3))["n"] == 3
    assert (await database.command("count", "nobody"))["n"] == 0


async def test_distinct_values_come_sorted_and_from_arrays_too(
    mounted: Mounted, mount_of: Callable[..., Any]
) -> None:
    sites = await mounted.deploys.distinct("site_id")
    assert sites == [f"site-{number}" for number in range(7)]
    assert await mounted.deploys.distinct("site_id", {"number": {"$lt": 2}}) == sites[:2]
    assert await mounted.deploys.distinct("nothing") == []
    other = await mount_of(deploys=[{"_id": 1, "a": [3, "x", 1.0]}, {"_id": 2, "a": 1}, {"_id": 3}])
    assert await other.deploys.distinct("a") == [1.0, 3, "x"]


async def test_what_is_not_there_is_empty(mounted: Mounted) -> None:
    assert await mounted.client["blackstart"]["nobody"].find({"a": 1}).to_list() == []
    assert await mounted.client["other"]["deploys"].find().to_list() == []
    assert await mounted.client["other"]["deploys"].count_documents({}) == 0
    assert await mounted.client["other"]["deploys"].distinct("_id") == []


async def test_documents_come_as_they_are_stored(mount_of: Callable[..., Any]) -> None:
    document = {
        "_id": ObjectId("5" * 24),
        "far": DatetimeMS(2**60),
        "at": datetime(2017, 2, 2, 17, 17, tzinfo=UTC),
        "long": Int64(1),
        "decimal": Decimal128("1.10"),
        "stamp": Timestamp(1, 2),
        "pattern": Regex("^a", "i"),
        "nested": [{"b": [1, None]}],
    }
    mounted = await mount_of(deploys=[document])
    raw = AsyncMongoClient[RawBSONDocument](mounted.uri, document_class=RawBSONDocument)
    async with raw as client:
        found = await client["blackstart"]["deploys"].find_one({"pattern": Regex("^a", "i")})
        kept = await client["blackstart"]["deploys"].find_one({}, {"nothing": 0})
    assert found is not None
    assert kept is not None
    stored = await anext(mounted.snapshot.scan("deploys"))
    assert found.raw == kept.raw == stored.raw


async def test_the_blocking_client_reads_as_well(mounted: Mounted) -> None:
    def read() -> tuple[Any, ...]:
        with MongoClient[dict[str, Any]](mounted.uri) as client:
            found = client["blackstart"]["deploys"]
            numbers = [each["number"] for each in found.find({"site_id": "site-3"}, batch_size=10)]
            return found.find_one({"_id": key(1)}), numbers, client.list_database_names()

    one, numbers, names = await asyncio.to_thread(read)
    assert one == deploys(2)[1]
    assert numbers == list(range(3, 1_000, 7))
    assert names == ["blackstart"]


async def test_one_client_s_long_search_does_not_hold_up_another(
    mounted: Mounted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second is answered while the first has not come to its end."""
    gate = asyncio.Event()
    scan = mounted.snapshot.scan

    async def stopping(*arguments: Any, **more: Any) -> Any:
        async for each in scan(*arguments, **more):
            yield each
        await gate.wait()

    monkeypatch.setattr(mounted.snapshot, "scan", stopping)
    searching = asyncio.create_task(mounted.deploys.find_one({"number": -1}))
    async with AsyncMongoClient[dict[str, Any]](mounted.uri) as other:
        assert await other["blackstart"]["deploys"].find_one({"_id": key(1)}) is not None
    assert not searching.done()
    gate.set()
    assert await searching is None
