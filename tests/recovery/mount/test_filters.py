"""Filters: what a server finds is what is found, whatever is asked; and what is refused."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from bson import Decimal128, Regex
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient
from tests.recovery.mount import asking

from blackstart.recovery.mount.filters import Filter
from blackstart.recovery.mount.needles import Needles
from blackstart.recovery.mount.source import Found
from blackstart.wire import CommandError


def found(spec: dict[str, Any], *documents: dict[str, Any]) -> list[Any]:
    matching = Filter(spec)
    return [each["_id"] for each in documents if matching.matches(each)]


def numbered(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"_id": number} | each for number, each in enumerate(documents)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(asking.documents, min_size=1, max_size=8), st.lists(asking.filters, max_size=6))
def test_a_filter_finds_what_a_server_finds(
    mongodb_uri: str, documents: list[dict[str, Any]], filters: list[dict[str, Any]]
) -> None:
    stored = numbered(documents)
    with MongoClient[dict[str, Any]](mongodb_uri, tz_aware=True) as client:
        collection = client["test-filters"]["documents"]
        collection.drop()
        collection.insert_many(stored)
        for spec in filters:
            ours = Filter(spec)
            theirs = {each["_id"] for each in collection.find(spec, {"_id": 1})}
            assert theirs == {each["_id"] for each in collection.find() if ours.matches(each)}, spec


@given(st.lists(asking.documents, max_size=8), asking.filters)
def test_what_the_needles_rule_out_does_not_match(
    documents: list[dict[str, Any]], spec: dict[str, Any]
) -> None:
    matching, needles = Filter(spec), Needles(spec)
    for document in numbered(documents):
        raw = bson.encode(document)
        if matching.matches(Found(raw).document):
            assert needles.may_match(raw)


@pytest.mark.parametrize(
    ("spec", "clauses"),
    [
        ({"site_id": "abc"}, 1),
        ({"site_id": {"$in": ["abc", "d"]}}, 1),
        ({"site_id": {"$in": ["abc", 1]}}, 0),
        ({"$and": [{"a": "x"}, {"b": {"$eq": "y"}}]}, 2),
        ({"$or": [{"a": "x"}, {"b": "y"}]}, 1),
        ({"$or": [{"a": "x"}, {"b": 1}]}, 0),
        ({"a": {"$elemMatch": {"b": "x"}}}, 1),
        ({"a": {"$ne": "x"}}, 0),
        ({"a": {"$not": {"$eq": "x"}}}, 0),
        ({"a": {"$gt": "x"}, "b": None, "c": True, "d": Regex("x")}, 0),
        ({}, 0),
    ],
)
def test_needles_come_of_texts_that_must_be_there(spec: dict[str, Any], clauses: int) -> None:
    assert len(Needles(spec).clauses) == clauses


@pytest.mark.parametrize(
    ("spec", "value", "matches"),
    [
        # MongoDB's page on $all: the value as a whole, too.
        ({"a": {"$all": [["x"]]}}, ["x"], True),
        ({"a": {"$all": [None]}}, [1], False),
        ({"a": {"$all": []}}, [1], False),
        # Positions in arrays.
        ({"a.0": 1}, [1, 2], True),
        ({"a.1": 1}, [1, 2], False),
        ({"a.0.x": 1}, [{"x": 1}], True),
        # True is not 1, at no depth.
        ({"a": 1}, True, False),
        ({"a": [1]}, [True], False),
        ({"a": {"x": 1}}, {"x": True}, False),
        ({"a": {"$in": [0]}}, False, False),
        # The order of fields counts, and all numbers are one type.
        ({"a": {"x": 1, "y": 2}}, {"y": 2, "x": 1}, False),
        ({"a": Decimal128("1.50")}, 1.5, True),
        # NaN is neither less nor more than a number, and equals itself.
        ({"a": {"$lt": 5}}, float("nan"), False),
        ({"a": {"$gte": float("nan")}}, float("nan"), True),
        ({"a": {"$gt": float("nan")}}, 5, False),
        # Elements are not looked into.
        ({"a": {"$elemMatch": {"$eq": "b"}}}, ["abc"], False),
        ({"a": {"$elemMatch": {"$eq": "x"}}}, [{"x": 1}], False),
        ({"a": {"$elemMatch": {"x": {"$ne": 2}}}}, [1], False),
        # The remainder has the dividend's sign.
        ({"a": {"$mod": [2, 1]}}, -1, False),
        ({"a": {"$mod": [2, -1]}}, -1, True),
        ({"a": {"$mod": [2, 0]}}, float("inf"), False),
        ({"a": Regex("^x")}, Regex("^x"), True),
        ({"a": {"$eq": Regex("^x")}}, "xyz", False),
        ({"a": {"$regex": "^x"}}, b"xyz", False),
    ],
)
def test_single_rules(spec: dict[str, Any], value: Any, matches: bool) -> None:
    assert Filter(spec).matches({"_id": 1, "a": value}) is matches


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({"$where": "true"}, "NotImplemented"),
        ({"$expr": {"$eq": ["$a", 1]}}, "NotImplemented"),
        ({"a": {"$not": {"$bitsAllSet": 1}}}, "NotImplemented"),
        ({"$or": [{"$jsonSchema": {}}]}, "NotImplemented"),
        ({"a": {"$near": [1, 2]}}, "NotImplemented"),
        ({"$comment": "x"}, "NotImplemented"),
        ({"$foo": 1}, "BadValue"),
        ({"a": {"$foo": 1}}, "BadValue"),
        ({"a": {"$gt": 1, "b": 2}}, "BadValue"),
        ({"$and": []}, "BadValue"),
        ({"$or": {}}, "BadValue"),
        ({"$or": 3}, "BadValue"),
        ({"$or": [3]}, "BadValue"),
        ({"a": {"$in": 3}}, "BadValue"),
        ({"a": {"$in": [{"$gt": 1}]}}, "BadValue"),
        ({"a": {"$ne": Regex("x")}}, "BadValue"),
        ({"a": {"$gt": Regex("x")}}, "BadValue"),
        ({"a": {"$regex": "("}}, "BadValue"),
        ({"a": {"$regex": 3}}, "BadValue"),
        ({"a": {"$regex": "a", "$options": "z"}}, "BadValue"),
        ({"a": {"$options": "i"}}, "BadValue"),
        ({"a": {"$not": 3}}, "BadValue"),
        ({"a": {"$not": {}}}, "BadValue"),
        ({"a": {"$elemMatch": 3}}, "BadValue"),
        ({"a": {"$all": 3}}, "BadValue"),
        ({"a": {"$all": [{"$gt": 3}]}}, "BadValue"),
        ({"a": {"$size": -1}}, "BadValue"),
        ({"a": {"$size": "1"}}, "BadValue"),
        ({"a": {"$type": "text"}}, "BadValue"),
        ({"a": {"$type": 99}}, "BadValue"),
        ({"a": {"$mod": [0, 1]}}, "BadValue"),
        ({"a": {"$mod": 3}}, "BadValue"),
    ],
)
def test_what_is_not_evaluated_is_refused_and_never_passed_over(
    spec: dict[str, Any], code: str
) -> None:
    with pytest.raises(CommandError) as refused:
        Filter(spec)
    assert refused.value.code_name == code


def test_a_filter_of_absurd_depth_is_refused() -> None:
    spec: dict[str, Any] = {"a": 1}
    for _ in range(150):
        spec = {"$and": [spec]}
    with pytest.raises(CommandError, match="deep"):
        Filter(spec)


def test_many_documents_are_told_apart() -> None:
    documents = [{"_id": each, "a": {"x": each % 3}} for each in range(9)]
    assert found({"a.x": 1}, *documents) == [1, 4, 7]
    assert found({}, *documents) == list(range(9))
