"""Sorting, projecting and aggregating: as a server does, and within bounds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import bson
import pytest
from bson import Decimal128, Int64
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.errors import OperationFailure
from tests.conftest import ManualClock
from tests.recovery.mount import asking
from tests.recovery.mount.conftest import Mounted
from tests.recovery.mount.fake import FakeSnapshot

from blackstart.recovery.mount.budget import Budget
from blackstart.recovery.mount.pipeline import Pipeline
from blackstart.recovery.mount.projection import Projection
from blackstart.recovery.mount.sorting import Sort
from blackstart.recovery.mount.source import Found
from blackstart.wire import CommandError

against_a_server = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
collections = st.lists(asking.documents, min_size=1, max_size=8).map(
    lambda documents: [{"_id": number} | each for number, each in enumerate(documents)]
)
directions = st.sampled_from([1, -1])
sorts = st.dictionaries(asking.paths, directions, min_size=1, max_size=2).map(
    # So that no two documents are equal, and the order is one.
    lambda spec: spec | {"_id": 1}
)
wanted = st.dictionaries(st.sampled_from(["a", "b", "c.x", "d"]), st.just(1), max_size=2)
unwanted = st.dictionaries(st.sampled_from(["a", "b.x", "c"]), st.just(0), max_size=2)
projections = st.one_of(
    wanted, unwanted, wanted.map(lambda spec: spec | {"_id": 0}), st.just({"_id": 1})
)


def theirs(uri: str, documents: list[dict[str, Any]], pipeline: list[Any]) -> list[bytes]:
    with MongoClient[dict[str, Any]](uri, tz_aware=True) as client:
        collection = client["test-aggregate"]["documents"]
        collection.drop()
        collection.insert_many(documents)
        return [bson.encode(each) for each in collection.aggregate(pipeline)]


async def ours(documents: list[dict[str, Any]], pipeline: list[Any]) -> list[bytes]:
    run = Pipeline(pipeline).run(FakeSnapshot(all=documents), "all", Budget(ManualClock()))
    return [found.raw async for found in run]


@against_a_server
@given(collections, sorts, st.integers(1, 9))
async def test_sorting_is_a_server_s(
    mongodb_uri: str, documents: list[dict[str, Any]], sort: dict[str, int], limit: int
) -> None:
    pipeline = [{"$sort": sort}, {"$project": {"_id": 1}}]
    expected = theirs(mongodb_uri, documents, pipeline)
    assert await ours(documents, pipeline) == expected
    assert (
        await ours(documents, [{"$sort": sort}, {"$limit": limit}, pipeline[1]])
        == (expected[:limit])
    )


@against_a_server
@given(collections, projections)
def test_projecting_is_a_server_s(
    mongodb_uri: str, documents: list[dict[str, Any]], projection: dict[str, int]
) -> None:
    with MongoClient[dict[str, Any]](mongodb_uri, tz_aware=True) as client:
        collection = client["test-projection"]["documents"]
        collection.drop()
        collection.insert_many(documents)
        expected = [bson.encode(each) for each in collection.find({}, projection)]
    if projection:
        keep = Projection(projection)
        assert [bson.encode(keep(each)) for each in documents] == expected


@pytest.mark.parametrize(
    ("pipeline", "expected"),
    [
        ([{"$count": "n"}], [{"n": 6}]),
        ([{"$match": {"k": "z"}}, {"$count": "n"}], []),
        ([{"$match": {"k": "a"}}, {"$group": {"_id": 1, "n": {"$sum": 1}}}], [{"_id": 1, "n": 3}]),
        (
            [{"$group": {"_id": "$k", "n": {"$sum": "$v"}, "least": {"$min": "$v"}}}],
            [
                {"_id": "a", "n": 6, "least": 1},
                {"_id": "b", "n": 9.5, "least": 4},
                {"_id": None, "n": 0, "least": None},
            ],
        ),
        (
            [{"$group": {"_id": {"k": "$k"}, "all": {"$push": "$v"}, "set": {"$addToSet": "$k"}}}],
            [
                {"_id": {"k": "a"}, "all": [1, 2, 3], "set": ["a"]},
                {"_id": {"k": "b"}, "all": [4, 5.5], "set": ["b"]},
                {"_id": {}, "all": [], "set": []},
            ],
        ),
        (
            [
                {"$group": {"_id": None, "mean": {"$avg": "$v"}, "top": {"$max": "$v"}}},
                {"$project": {"_id": 0, "mean": 1, "top": 1}},
            ],
            [{"mean": 3.1, "top": 5.5}],
        ),
        (
            [{"$group": {"_id": None, "a": {"$first": "$v"}, "b": {"$last": "$v"}}}],
            [{"_id": None, "a": 1, "b": None}],
        ),
        ([{"$sortByCount": "$k"}, {"$limit": 1}], [{"_id": "a", "count": 3}]),
        (
            [{"$sort": {"_id": -1}}, {"$skip": 1}, {"$limit": 1}, {"$unset": "v"}],
            [{"_id": 5, "k": "b"}],
        ),
        ([{"$limit": 1}, {"$project": {"_id": 0, "was": "$v"}}], [{"was": 1}]),
        ([{"$limit": 1}, {"$project": {"was": {"$literal": "$v"}}}], [{"_id": 1, "was": "$v"}]),
        ([{"$limit": 1}, {"$set": {"w": "$v", "k": "$no"}}], [{"_id": 1, "v": 1, "w": 1}]),
        ([{"$match": {"_id": 6}}, {"$set": {"all": ["$k", 1]}}], [{"_id": 6, "all": [None, 1]}]),
    ],
)  # fmt: skip
async def test_stages(pipeline: list[Any], expected: list[Any], mongodb_uri: str) -> None:
    documents: list[dict[str, Any]] = [
        {"_id": 1, "k": "a", "v": 1},
        {"_id": 2, "k": "a", "v": 2},
        {"_id": 3, "k": "a", "v": 3},
        {"_id": 4, "k": "b", "v": 4},
        {"_id": 5, "k": "b", "v": 5.5},
        {"_id": 6},
    ]
    found = [bson.decode(each) for each in await ours(documents, pipeline)]
    assert found == expected


@pytest.mark.parametrize(
    ("pipeline", "code"),
    [
        ([{"$out": "copy"}], "IllegalOperation"),
        ([{"$merge": {"into": "copy"}}], "IllegalOperation"),
        ([{"$lookup": {}}], "NotImplemented"),
        ([{"$foo": 1}], "NotImplemented"),
        ([{"$project": {"a": {"$concat": ["a", "b"]}}}], "NotImplemented"),
        ([{"$group": {"_id": 1, "n": {"$stdDevPop": "$a"}}}], "NotImplemented"),
        ([{"$group": {"_id": "$$NOW"}}], "NotImplemented"),
        ([{"$group": {}}], "BadValue"),
        ([{"$group": {"_id": 1, "n": 1}}], "BadValue"),
        ([{"$group": {"_id": "$a..b"}}], "BadValue"),
        ([{"$project": {}}], "BadValue"),
        ([{"$project": {"a": 0, "b": "$a"}}], "BadValue"),
        ([{"$project": {"a": 0, "b": 1}}], "BadValue"),
        ([{"$project": {"a": 1, "a.b": 1}}], "BadValue"),
        ([{"$project": {"a.b": 1, "a": 1}}], "BadValue"),
        ([{"$limit": 0}], "BadValue"),
        ([{"$limit": -1}], "BadValue"),
        ([{"$skip": float("nan")}], "BadValue"),
        ([{"$skip": float("inf")}], "BadValue"),
        ([{"$skip": 1.5}], "BadValue"),
        ([{"$skip": "1"}], "TypeMismatch"),
        ([{"$sort": {"a": 2}}], "BadValue"),
        ([{"$sort": {"a": {"$meta": "textScore"}}}], "BadValue"),
        ([{"$sort": 1}], "TypeMismatch"),
        ([{"$count": "$a"}], "BadValue"),
        ([{"$match": 1}], "TypeMismatch"),
        ([{"$match": {}, "$limit": 1}], "BadValue"),
        ([3], "BadValue"),
        ({}, "TypeMismatch"),
        ([{"$limit": 1}] * 101, "TypeMismatch"),
    ],
)
def test_a_stage_that_is_not_done_is_refused(pipeline: Any, code: str) -> None:
    with pytest.raises(CommandError) as refused:
        Pipeline(pipeline)
    assert refused.value.code_name == code


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"list": {"$slice": 2}, "docs": 0}, {"_id": 1, "list": [1, 2], "in": {"list": [1, 2, 3]}}),
        ({"list": {"$slice": -1}, "in": 0, "docs": 0}, {"_id": 1, "list": [3]}),
        ({"in.list": {"$slice": [1, 1]}, "_id": 1}, {"_id": 1, "in": {"list": [2]}}),
        ({"list": {"$slice": [-2, 1]}, "in.a": 1, "_id": 0}, {"list": [2], "in": {}}),
        ({"docs": {"$elemMatch": {"b": 3}}}, {"_id": 1, "docs": [{"a": 2, "b": 3}]}),
        ({"docs": {"$elemMatch": {"b": 4}}, "_id": 0}, {}),
        ({"in": {"list": 1}, "_id": False}, {"in": {"list": [1, 2, 3]}}),
        ({"docs.a": 1.0, "_id": Decimal128("0")}, {"docs": [{"a": 1}, {"a": 2}]}),
        ({"docs.a": Int64(0), "list": 0, "in": 0}, {"_id": 1, "docs": [{}, {"b": 3}]}),
    ],
)  # fmt: skip
def test_projections_of_a_find(spec: dict[str, Any], expected: dict[str, Any]) -> None:
    document = {
        "_id": 1,
        "list": [1, 2, 3],
        "in": {"list": [1, 2, 3]},
        "docs": [{"a": 1}, {"a": 2, "b": 3}],
    }
    before = bson.encode(document)
    assert Projection(spec)(document) == expected
    assert bson.encode(document) == before


@pytest.mark.parametrize(
    "spec", [{"a.$": 1}, {"a": "$b"}, {"a": {"$meta": "x"}}, {"a": {"$slice": "x"}},
             {"a": {"$slice": [1, 0]}}, {"a": {"$slice": []}}, {"a..b": 1}, {"a": [1]},
             {"a": {"$slice": 1}, "a.b": 1}],
)  # fmt: skip
def test_a_projection_that_computes_is_refused(spec: dict[str, Any]) -> None:
    with pytest.raises(CommandError):
        Projection(spec)


async def many(count: int, text: str) -> AsyncIterator[Found]:
    for number in range(count):
        yield Found.made({"_id": number, "text": text})


async def test_a_sort_holds_no_more_than_its_limit_of_bytes() -> None:
    sort = Sort({"text": 1, "_id": -1})
    with pytest.raises(CommandError) as refused:
        await sort.all(many(100, "x" * 1_000), max_bytes=50_000)
    assert refused.value.code_name == "QueryExceededMemoryLimitNoDiskUseAllowed"
    first = await sort.first(many(100, "x" * 1_000), 10, max_bytes=50_000)
    assert [each.document["_id"] for each in first] == list(range(99, 89, -1))
    with pytest.raises(CommandError):
        await sort.first(many(100, "x" * 1_000), 60, max_bytes=50_000)


async def test_a_client_is_told_of_the_limit_by_mongodb_s_code(
    mount_of: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted: Mounted = await mount_of(
        deploys=[{"_id": number, "text": "x" * 1_000_000} for number in range(110)]
    )
    with pytest.raises(OperationFailure) as refused:
        await mounted.deploys.find({}, {"_id": 1}).sort("text").to_list()
    assert refused.value.code == 292
    found = await mounted.deploys.find({}, {"_id": 1}).sort("_id", -1).limit(2).to_list()
    assert found == [{"_id": 109}, {"_id": 108}]
    with pytest.raises(OperationFailure) as refused:
        await (
            await mounted.deploys.aggregate([{"$group": {"_id": None, "all": {"$push": "$text"}}}])
        ).to_list()
    assert refused.value.code == 292
