"""What drivers and shells send in an ordinary session passes, with all their own fields."""

from __future__ import annotations

import datetime
from typing import Any
from uuid import UUID

import pytest
from bson import Binary, Int64, ObjectId, Regex, Timestamp
from bson.binary import UuidRepresentation

from blackstart.guard.rules import Command, Decision, Judge, Kind, Table
from blackstart.wire import encode_command, parse_message

JUDGE = Judge(Table.load())
LSID = {"id": Binary.from_uuid(UUID(int=7), UuidRepresentation.STANDARD)}
TIME = {
    "clusterTime": Timestamp(1, 1),
    "signature": {"hash": Binary(b"0" * 20), "keyId": Int64(0)},
}
DRIVER = {"lsid": LSID, "$clusterTime": TIME, "$readPreference": {"mode": "primaryPreferred"}}
API = {"apiVersion": "1", "apiStrict": True, "apiDeprecationErrors": True}
TXN = {"txnNumber": Int64(1), "startTransaction": True, "autocommit": False}
KEY = ObjectId()
NOW = datetime.datetime(2017, 2, 2, tzinfo=datetime.UTC)

SESSION: list[dict[str, Any]] = [
    {
        "hello": 1,
        "helloOk": True,
        "topologyVersion": {"processId": KEY, "counter": Int64(1)},
        "maxAwaitTimeMS": 10_000,
        "client": {"driver": {"name": "nodejs", "version": "6.10"}, "os": {"type": "Linux"}},
        "compression": ["zstd", "zlib"],
        "saslSupportedMechs": "admin.ada",
        "speculativeAuthenticate": {"saslStart": 1},
        "loadBalanced": False,
    },
    {"ismaster": 1, "helloOk": True},
    {"ping": 1},
    {"saslStart": 1, "mechanism": "SCRAM-SHA-256", "payload": Binary(b"n,,n=a"), "options": {}},
    {"saslContinue": 1, "conversationId": 1, "payload": Binary(b"")},
    {"endSessions": [LSID]},
    {"refreshSessions": [LSID]},
    {"abortTransaction": 1, "txnNumber": Int64(1), "autocommit": False},
]

READS: list[dict[str, Any]] = [
    {"find": "sites", "filter": {"_id": KEY}, "limit": 1, "singleBatch": True},
    {
        "find": "sites",
        "filter": {"name": Regex("^a", "i"), "plan": {"$in": ["pro"]}, "at": {"$gte": NOW}},
        "projection": {"name": 1, "files": {"$slice": 2}, "tags": {"$elemMatch": {"a": 1}}},
        "sort": {"name": 1},
        "skip": 5,
        "batchSize": 100,
        "hint": {"name": 1},
        "collation": {"locale": "en", "strength": 2},
        "let": {"x": 5},
        "allowDiskUse": True,
        "maxTimeMS": Int64(500),
        "comment": "from the console",
        "readConcern": {"level": "majority"},
    },
    {"find": "deploys", "filter": {"$expr": {"$gt": ["$metadata.byte_count", "$$limit"]}}},
    {"find": "deploys", "filter": {"metadata": {"$not": {"$type": "object"}}}},
    {"find": "places", "filter": {"at": {"$nearSphere": {"$geometry": {}, "$maxDistance": 5}}}},
    {"find": "sites", "filter": {"$text": {"$search": "a"}}, "sort": {"s": {"$meta": "textScore"}}},
    {"find": "log", "filter": {}, "tailable": True, "awaitData": True, "noCursorTimeout": True},
    {"getMore": Int64(5), "collection": "sites", "batchSize": 100, "maxTimeMS": 100},
    {"killCursors": "sites", "cursors": [Int64(5)]},
    {"count": "sites", "query": {"plan": "pro"}, "limit": 5, "skip": 1},
    {"distinct": "sites", "key": "plan", "query": {"locked": False}},
    {
        "aggregate": "deploys",
        "pipeline": [
            {"$match": {"state": "ready", "metadata.tree": {"$exists": False}}},
            {"$lookup": {"from": "sites", "localField": "s", "foreignField": "_id", "as": "site"}},
            {"$lookup": {"from": "b", "let": {"x": "$a"}, "pipeline": [{"$limit": 1}], "as": "b"}},
            {"$unwind": {"path": "$site", "preserveNullAndEmptyArrays": True}},
            {"$group": {"_id": "$site.plan", "n": {"$sum": 1}, "m": {"$push": "$$ROOT"}}},
            {"$set": {"day": {"$dateTrunc": {"date": "$at", "unit": "day"}}}},
            {"$project": {"a": {"$cond": [{"$eq": ["$a", {"$literal": "$x"}]}, 1, 0]}}},
            {"$facet": {"a": [{"$count": "n"}], "b": [{"$sort": {"a": -1}}, {"$limit": 5}]}},
        ],
        "cursor": {"batchSize": 0},
        "allowDiskUse": True,
    },
    {"aggregate": "sites", "pipeline": [{"$match": {}}, {"$group": {"_id": 1, "n": {"$sum": 1}}}]},
    {
        "aggregate": "deploys",
        "pipeline": [{"$changeStream": {"fullDocument": "updateLookup", "resumeAfter": {}}}],
        "cursor": {},
    },
    {"aggregate": 1, "pipeline": [{"$currentOp": {"localOps": True}}], "cursor": {}},
    {"aggregate": "sites", "pipeline": [{"$indexStats": {}}], "cursor": {}},
    {"aggregate": "sites", "pipeline": [{"$collStats": {"storageStats": {}}}], "cursor": {}},
    {"explain": {"find": "sites", "filter": {"a": 1}}, "verbosity": "executionStats"},
    {"explain": {"aggregate": "sites", "pipeline": [], "cursor": {}}, "verbosity": "queryPlanner"},
    {"listCollections": 1, "filter": {"name": "a"}, "nameOnly": True, "cursor": {}},
    {"listIndexes": "sites", "cursor": {}},
    {"listDatabases": 1, "nameOnly": True, "$db": "admin"},
    {"collStats": "sites", "scale": 1},
    {"dbStats": 1, "scale": 1},
    {"buildInfo": 1, "$db": "admin"},
    {"buildinfo": 1, "$db": "admin"},
    {"connectionStatus": 1, "showPrivileges": False},
    {"getParameter": 1, "featureCompatibilityVersion": 1, "$db": "admin"},
    {"getCmdLineOpts": 1, "$db": "admin"},
    {"getLog": "startupWarnings", "$db": "admin"},
    {"hostInfo": 1, "$db": "admin"},
    {"serverStatus": 1, "repl": 0, "$db": "admin"},
    {"replSetGetStatus": 1, "$db": "admin"},
    {"atlasVersion": 1, "$db": "admin"},
    {"currentOp": 1, "$ownOps": True, "$db": "admin"},
]

WRITES: list[dict[str, Any]] = [
    {"insert": "sites", "documents": [{"_id": KEY, "a": 1}], "ordered": True},
    {"insert": "deploys", "documents": [{"_id": "d1", "metadata": {}}], "ordered": True},
    {
        "update": "sites",
        "updates": [{"q": {"_id": KEY}, "u": {"$set": {"locked": True}}}],
        "ordered": True,
    },
    {
        "update": "sites",
        "updates": [
            {
                "q": {"_id": "a", "state": "old"},
                "u": {"$inc": {"n": 1}, "$push": {"l": {"$each": [1], "$slice": -5}}},
                "multi": False,
                "upsert": False,
                "hint": "_id_",
                "collation": {"locale": "simple"},
            }
        ],
        "let": {"x": 1},
    },
    {"update": "sites", "updates": [{"q": {"_id": "a"}, "u": {"name": "b"}, "upsert": True}]},
    {
        "update": "sites",
        "updates": [
            {
                "q": {"_id": "a"},
                "u": {"$set": {"l.$[x].n": 1}},
                "arrayFilters": [{"x.n": {"$gt": 1}}],
            }
        ],
    },
    {"update": "sites", "updates": [{"q": {"_id": 1}, "u": [{"$set": {"a": {"$add": [1, 2]}}}]}]},
    {"update": "deploys", "updates": [{"q": {"_id": "d1"}, "u": {"$set": {"state": "ready"}}}]},
    {"delete": "sites", "deletes": [{"q": {"_id": KEY}, "limit": 1}], "ordered": True},
    {
        "findAndModify": "sites",
        "query": {"_id": KEY},
        "update": {"$set": {"a": 1}},
        "new": True,
        "fields": {"a": 1},
        "upsert": False,
    },
    {"findAndModify": "sites", "query": {"_id": KEY}, "remove": True},
    {"update": "sites", "updates": [{"q": {"_id": 1}, "u": {"$set": {"a": {"$cost": 1}}}}]},
    {"create": "notes"},
]


def judged(body: dict[str, Any], **driver: Any) -> Any:
    """As it comes over the wire."""
    whole = {**body, **driver, "$db": body.get("$db", "shop")}
    frame = encode_command(whole, request_id=1)
    return JUDGE.judge(Command.of_message(parse_message(frame)))


@pytest.mark.parametrize("body", SESSION, ids=lambda body: next(iter(body)))
def test_what_a_driver_sends_for_itself_passes(body: dict[str, Any]) -> None:
    found = judged(body)
    assert (found.decision, found.kind) == (Decision.PASS, Kind.SESSION), found.reason


@pytest.mark.parametrize("more", [{}, DRIVER, API, DRIVER | TXN], ids=str)
@pytest.mark.parametrize("body", READS, ids=lambda body: next(iter(body)))
def test_reads_pass(body: dict[str, Any], more: dict[str, Any]) -> None:
    found = judged(body, **more)
    assert (found.decision, found.kind) == (Decision.PASS, Kind.READ), found.reason


@pytest.mark.parametrize(
    "more",
    [
        {},
        DRIVER | {"txnNumber": Int64(5), "writeConcern": {"w": "majority", "wtimeout": 100}},
        API | {"comment": {"ticket": 5}, "maxTimeMS": 100},
        DRIVER | TXN,
        {"writeConcern": {"w": 0}},
        {"bypassDocumentValidation": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("body", WRITES, ids=lambda body: next(iter(body)))
def test_writes_to_one_document_by_id_pass(body: dict[str, Any], more: dict[str, Any]) -> None:
    if "bypassDocumentValidation" in more and next(iter(body)) in ("delete", "create"):
        return
    found = judged(body, **more)
    assert (found.decision, found.kind) == (Decision.PASS, Kind.ONE), found.reason


def test_a_handshake_of_old_passes() -> None:
    body = {"isMaster": 1, "client": {}}
    found = JUDGE.judge(Command.of({**body, "$db": "admin"}))
    assert found.decision is Decision.PASS


def test_cursors_are_named_for_whoever_keeps_them() -> None:
    assert judged({"getMore": Int64(5), "collection": "x"}).cursors == (5,)
    assert judged({"killCursors": "x", "cursors": [Int64(5), Int64(6)]}).cursors == (5, 6)


METADATA = {"update": "deploys", "updates": [{"q": {"_id": 1}, "u": {"$set": {"metadata.x": 1}}}]}


def test_a_service_may_set_what_is_precious_on_one_document() -> None:
    command = Command.of({**METADATA, "$db": "shop"})
    assert JUDGE.judge(command).decision is Decision.HOLD
    found = JUDGE.judge(command, service="control")
    assert (found.decision, found.precious) == (Decision.PASS, ("deploys.metadata",))


def test_a_service_waits_like_everybody_else_for_a_write_to_several() -> None:
    body = {"update": "deploys", "updates": [{"q": {}, "u": {"$set": {"a": 1}}, "multi": True}]}
    found = JUDGE.judge(Command.of({**body, "$db": "shop"}), service="control")
    assert found.decision is Decision.HOLD
