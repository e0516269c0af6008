"""One session of PyMongo, the same for its plain and its asynchronous client."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from bson import Binary, Int64
from pymongo import CursorType, InsertOne, UpdateOne
from pymongo.errors import OperationFailure

_OF_THE_MOMENT = ("$clusterTime", "operationTime", "electionId", "opTime")

Step = Callable[[str, Callable[[], Awaitable[Any]]], Awaitable[None]]


async def told(value: Any) -> Any:
    """What a call of either client comes to."""
    return await value if inspect.isawaitable(value) else value


async def session(client: Any, name: str) -> dict[str, Any]:
    """What each step gave, or its error's code."""
    results: dict[str, Any] = {}

    async def step(title: str, work: Callable[[], Awaitable[Any]]) -> None:
        try:
            results[title] = await work()
        except OperationFailure as error:
            labels = sorted((error.details or {}).get("errorLabels", []))
            results[title] = (type(error).__name__, error.code, labels)

    database = client[name]
    await _documents(database, step)
    await _cursors(database, step)
    await _transactions(client, database, step)
    await _changes(database, step)
    return results


async def _documents(database: Any, step: Step) -> None:
    numbers = database["numbers"]

    async def bulk() -> Any:
        work = [InsertOne({"_id": 500}), UpdateOne({"_id": 500}, {"$set": {"z": 1}})]
        return (await told(numbers.bulk_write(work))).bulk_api_result

    async def aggregate() -> Any:
        group = {"_id": {"$mod": ["$half", 3]}, "sum": {"$sum": "$half"}}
        stages = [{"$match": {"_id": {"$lt": 200}}}, {"$group": group}, {"$sort": {"_id": 1}}]
        return await told((await told(numbers.aggregate(stages))).to_list())

    async def out() -> Any:
        await told(numbers.aggregate([{"$match": {"half": 8}}, {"$out": "copied"}]))
        return await told(database["copied"].find().sort("_id", 1).to_list())

    async def raw(call: Any) -> Any:
        found = (await told(call)).raw_result
        return {key: found[key] for key in found if key not in _OF_THE_MOMENT}

    many = [{"_id": n, "half": n // 2} for n in range(300)]
    await step("insert", lambda: _ids(numbers, many))
    await step("twice", lambda: told(numbers.insert_one({"_id": 1})))
    await step("one", lambda: raw(numbers.update_one({"_id": 7}, {"$set": {"x": 1.5}})))
    await step("many", lambda: raw(numbers.update_many({"half": 3}, {"$inc": {"half": 5}})))
    await step("upsert", lambda: raw(numbers.replace_one({"_id": "new"}, {"x": 1}, upsert=True)))
    await step("removed", lambda: told(numbers.find_one_and_delete({"_id": 9})))
    await step("deleted", lambda: raw(numbers.delete_many({"_id": {"$gte": 250}})))
    await step("bulk", bulk)
    await step("aggregate", aggregate)
    await step("out", out)
    await step("count", lambda: told(numbers.count_documents({})))
    await step("distinct", lambda: told(numbers.distinct("half")))
    await step("bad operator", lambda: told(numbers.find_one({"half": {"$in": 1}})))


async def _ids(numbers: Any, many: list[dict[str, Any]]) -> Any:
    return (await told(numbers.insert_many(many))).inserted_ids


async def _cursors(database: Any, step: Step) -> None:
    numbers = database["numbers"]

    async def closed() -> Any:
        cursor = numbers.find({}, batch_size=2)
        await told(cursor.next())
        number = cursor.cursor_id
        await told(cursor.close())
        return await told(database.command({"getMore": Int64(number), "collection": "numbers"}))

    def read(**options: Any) -> Awaitable[Any]:
        return told(numbers.find({"_id": {"$type": "int"}}, **options).sort("_id", 1).to_list())

    lookups = [{"$lookup": {"from": "numbers", "pipeline": [], "as": f"all{n}"}} for n in range(3)]
    slow = [*lookups, {"$unwind": "$all0"}, {"$unwind": "$all1"}, {"$count": "n"}]

    async def too_slow() -> Any:
        return await told((await told(numbers.aggregate(slow, maxTimeMS=1))).to_list())

    await step("batches", lambda: read(batch_size=7))
    await step("exhaust", lambda: read(batch_size=50, cursor_type=CursorType.EXHAUST))
    await step("raw batches", lambda: told(numbers.find_raw_batches({"_id": 8}).to_list()))
    await step("closed", closed)
    await step("too slow", too_slow)
    await step(
        "collections", lambda: told(database.list_collection_names(filter={"name": "numbers"}))
    )


async def _transactions(client: Any, database: Any, step: Step) -> None:
    numbers = database["numbers"]

    async def run(*, commit: bool) -> Any:
        inside = await told(client.start_session())
        try:
            await told(inside.start_transaction())
            for number in (701, 702):
                change = {"$inc": {"value": 5}}
                await told(numbers.update_one({"_id": number}, change, upsert=True, session=inside))
            seen = await told(numbers.count_documents({"_id": {"$gt": 700}}, session=inside))
            await told(inside.commit_transaction() if commit else inside.abort_transaction())
            return seen, await told(numbers.count_documents({"_id": {"$gt": 700}}))
        finally:
            await told(inside.end_session())

    async def conflict() -> Any:
        one, two = await told(client.start_session()), await told(client.start_session())
        try:
            for each in (one, two):
                await told(each.start_transaction())
                await told(numbers.update_one({"_id": 701}, {"$set": {"by": 1}}, session=each))
        finally:
            for each in (one, two):
                await told(each.abort_transaction())
                await told(each.end_session())

    stray = {
        "lsid": {"id": Binary.from_uuid(UUID(int=77))},
        "txnNumber": Int64(4),
        "autocommit": False,
    }
    await step("abort", lambda: run(commit=False))
    await step("commit", lambda: run(commit=True))
    await step("conflict", conflict)
    await step(
        "no transaction",
        lambda: told(client["admin"].command({"commitTransaction": 1, **stray})),
    )


async def _changes(database: Any, step: Step) -> None:
    watched = database["watched"]

    async def watch() -> Any:
        stream = await told(watched.watch(full_document="updateLookup", max_await_time_ms=200))
        seen = []
        for change in (
            lambda: watched.insert_one({"_id": 1}),
            lambda: watched.update_one({"_id": 1}, {"$set": {"x": 2}}),
            lambda: watched.delete_one({"_id": 1}),
        ):
            await told(change())
            seen.append(await told(stream.next()))
        await told(stream.close())
        kept = ("operationType", "documentKey", "fullDocument", "updateDescription")
        return [{key: each.get(key) for key in kept} for each in seen]

    await step("change stream", watch)
