"""Drivers at the guard's door do what they do at the database's own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient, CursorType, MongoClient
from pymongo.errors import ConnectionFailure, DuplicateKeyError, OperationFailure
from tests.guard.proxy.conftest import PASSWORD, Client, Guarded, guarding

from blackstart.errors import DatabaseError
from blackstart.guard.proxy.owners import NothingKilledError
from blackstart.guard.proxy.upstream import UpstreamConnection
from blackstart.store import embedded_mongodb
from blackstart.wire import CommandError

Story = Callable[[Any], Awaitable[Any]]


async def crud(database: Any) -> Any:
    numbers = database["numbers"]
    await numbers.insert_many([{"_id": n, "half": n // 2} for n in range(300)])
    updated = await numbers.update_many({"half": 3}, {"$set": {"seen": True}})
    one = await numbers.find_one_and_update({"_id": 9}, {"$inc": {"half": 1}})
    removed = await numbers.delete_many({"_id": {"$gte": 250}})
    upserted = await numbers.replace_one({"_id": "new"}, {"x": 1}, upsert=True)
    left = await numbers.find({}, {"half": 1}).sort("_id", -1).to_list()
    counts = (updated.modified_count, removed.deleted_count, upserted.upserted_id)
    return counts, one, left, await numbers.count_documents({}), await numbers.distinct("half")


async def cursors(database: Any) -> Any:
    numbers = database["numbers"]
    await numbers.insert_many([{"_id": n} for n in range(1_000)])
    small = [raw["_id"] async for raw in numbers.find({}, batch_size=7).sort("_id", 1)]
    exhaust = numbers.find({}, batch_size=100, cursor_type=CursorType.EXHAUST).sort("_id", 1)
    return small, [raw["_id"] async for raw in exhaust]


async def aggregation(database: Any) -> Any:
    await database["numbers"].insert_many([{"_id": n, "third": n % 3} for n in range(100)])
    stages = [{"$group": {"_id": "$third", "sum": {"$sum": "$_id"}}}, {"$sort": {"_id": 1}}]
    return await (await database["numbers"].aggregate(stages)).to_list()


async def transaction(database: Any) -> Any:
    numbers = database["numbers"]
    await numbers.insert_one({"_id": 1, "value": 0})
    seen = []
    for commit in (False, True):
        async with database.client.start_session() as session:
            await session.start_transaction()
            await numbers.update_one({"_id": 1}, {"$inc": {"value": 5}}, session=session)
            seen.append(await numbers.find_one({"_id": 1}, session=session))
            await (session.commit_transaction() if commit else session.abort_transaction())
        seen.append(await numbers.find_one({"_id": 1}))
    return seen


async def change_stream(database: Any) -> Any:
    async with await database["numbers"].watch(max_await_time_ms=200) as stream:
        await database["numbers"].insert_one({"_id": 1})
        await database["numbers"].update_one({"_id": 1}, {"$set": {"x": 2}})
        found = [await anext(stream), await anext(stream)]
    return [(event["operationType"], event["documentKey"]) for event in found]


async def errors(database: Any) -> Any:
    await database["numbers"].insert_one({"_id": 1})
    found = []
    with pytest.raises(DuplicateKeyError) as twice:
        await database["numbers"].insert_one({"_id": 1})
    found.append(twice.value.code)
    for command in ({"find": "numbers", "filter": {"$nope": 1}}, {"noSuchCommand": 1}):
        with pytest.raises(OperationFailure) as caught:
            await database.command(command)
        found.append((caught.value.code, (caught.value.details or {}).get("codeName")))
    return found


@pytest.mark.parametrize("compressors", ["", "zlib"])
@pytest.mark.parametrize("story", [crud, cursors, aggregation, transaction, change_stream, errors])
async def test_the_same_happens_with_and_without_the_guard(
    guarded: Guarded, mongodb_uri: str, story: Story, compressors: str
) -> None:
    more = {"compressors": compressors} if compressors else {}
    results = []
    async with Client(mongodb_uri) as direct, guarded.client(**more) as through:
        for client in (direct, through):
            await direct.drop_database(guarded.database)
            results.append(await story(client[guarded.database]))
    assert results[0] == results[1]
    assert len(guarded.gate.asked) > 1


async def test_the_plain_driver_works_as_well(guarded: Guarded) -> None:
    def story() -> Any:
        with MongoClient[dict[str, Any]](guarded.uri()) as client:
            numbers = client[guarded.database]["numbers"]
            numbers.insert_many([{"_id": n} for n in range(5)])
            return list(numbers.find({}, batch_size=2))

    assert await asyncio.to_thread(story) == [{"_id": n} for n in range(5)]


async def test_a_driver_that_looks_for_the_set_finds_the_guard_alone(guarded: Guarded) -> None:
    async with guarded.client() as client:
        hello = await client.admin.command("hello")
        assert hello["hosts"] == [guarded.address]
        assert hello["primary"] == hello["me"] == guarded.address
        assert "topologyVersion" not in hello
        assert client.nodes == {("127.0.0.1", int(guarded.address.partition(":")[2]))}


@pytest.mark.parametrize(
    ("login", "password"), [("ada", "wrong password"), ("eve", PASSWORD), ("ada", "x")]
)
async def test_nobody_is_let_in_with_a_wrong_password(
    guarded: Guarded, login: str, password: str
) -> None:
    async with AsyncMongoClient[dict[str, Any]](guarded.uri(login, password)) as client:
        with pytest.raises(OperationFailure) as caught:
            await client[guarded.database]["numbers"].find_one()
    assert (caught.value.code, (caught.value.details or {})["codeName"]) == (
        18,
        "AuthenticationFailed",
    )
    assert guarded.gate.asked == []


async def test_a_stranger_is_told_so_and_reaches_nothing(guarded: Guarded) -> None:
    async with AsyncMongoClient[dict[str, Any]](guarded.uri("")) as client:
        for command in ({"find": "numbers"}, {"insert": "numbers", "documents": [{}]}):
            with pytest.raises(OperationFailure) as caught:
                await client[guarded.database].command(command)
            assert caught.value.code == 13
    assert guarded.gate.asked == []


async def test_what_the_gate_refuses_never_reaches_the_database(guarded: Guarded) -> None:
    guarded.gate.closed = {"drop"}
    async with guarded.client() as client:
        await client[guarded.database]["numbers"].insert_one({"_id": 1})
        with pytest.raises(OperationFailure, match="the gate is closed"):
            await client[guarded.database]["numbers"].drop()
        assert await client[guarded.database]["numbers"].count_documents({}) == 1


async def test_whoever_let_a_write_through_is_told_how_it_ended(guarded: Guarded) -> None:
    async with guarded.client() as client:
        numbers = client[guarded.database]["numbers"]
        await numbers.update_one({"_id": 1}, {"$set": {"x": 1}})
    assert [end for _, end, _ in guarded.gate.ends] == ["answered"]


async def test_whoever_let_a_write_through_is_told_that_the_database_was_lost(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lose(self: UpstreamConnection) -> bytes:
        raise DatabaseError("the connection to the database broke off")

    async with guarded.client(retryWrites=False) as client:
        numbers = client[guarded.database]["numbers"]
        await numbers.find_one()
        monkeypatch.setattr(UpstreamConnection, "receive", lose)
        with pytest.raises(ConnectionFailure):
            await numbers.update_one({"_id": 1}, {"$set": {"x": 1}})
    assert [end for _, end, _ in guarded.gate.ends] == ["lost"]


async def test_another_login_s_cursor_is_not_told_apart_from_none(guarded: Guarded) -> None:
    guarded.proxy.cursors.note({"cursor": {"id": 77}}, "bob")
    guarded.proxy.cursors.check([77], "bob")
    for number, login in ((77, "ada"), (78, "bob")):
        with pytest.raises(CommandError, match=f"{number} not found"):
            guarded.proxy.cursors.check([number], login)


async def test_a_cursor_of_another_login_is_not_closed(guarded: Guarded) -> None:
    cursors = guarded.proxy.cursors
    cursors.note({"cursor": {"id": 77}}, "bob")
    cursors.note({"cursor": {"id": 78}}, "ada")
    cursors.check_killed([78], "ada")
    with pytest.raises(NothingKilledError) as caught:
        cursors.check_killed([77, 78, 79], "ada")
    answer = caught.value.document()
    assert (answer["cursorsKilled"], answer["cursorsAlive"]) == ([], [78])
    assert (answer["cursorsNotFound"], answer["ok"]) == ([77, 79], 1.0)


async def test_a_locked_database_is_reached_through_the_guard_alone(tmp_path: Path) -> None:
    async with (
        embedded_mongodb(tmp_path / "db", locked=True) as uri,
        guarding(uri, tmp_path, "kept") as guarded,
        guarded.client() as client,
    ):
        await client["kept"]["numbers"].insert_one({"_id": 1})
        assert await client["kept"]["numbers"].find_one() == {"_id": 1}
