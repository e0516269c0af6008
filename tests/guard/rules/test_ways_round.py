"""Every way round the rules that we know of: each is refused or held, and none passes."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from bson import Binary, Code, Int64, ObjectId, Regex
from bson.raw_bson import RawBSONDocument

from blackstart.guard.rules import Command, Decision, Judge, Kind, Table, Verdict
from blackstart.wire import encode_command, parse_message

JUDGE = Judge(Table.load())
HOLD, REFUSE = Decision.HOLD, Decision.REFUSE
A_SET = {"$set": {"state": "ready"}}


def judge(body: dict[str, Any], **more: Any) -> Verdict:
    return JUDGE.judge(Command.of({**body, "$db": "shop", **more}))


def update(*statements: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"update": "sites", "updates": list(statements), **fields}


def delete(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"delete": "sites", "deletes": list(statements)}


def aggregate(*stages: dict[str, Any]) -> dict[str, Any]:
    return {"aggregate": "sites", "pipeline": list(stages), "cursor": {}}


def by_id(value: Any, change: Any = A_SET, **more: Any) -> dict[str, Any]:
    return {"q": {"_id": value}, "u": change, **more}


def deep(levels: int) -> dict[str, Any]:
    found: dict[str, Any] = {"a": 1}
    for _ in range(levels):
        found = {"$and": [found]}
    return found


WAYS: dict[str, tuple[dict[str, Any], Decision]] = {
    # Updates of more than one document.
    "updateMany": (update({"q": {}, "u": A_SET, "multi": True}), HOLD),
    "updateMany by _id": (update(by_id(1, multi=True)), HOLD),
    "an update that does not name its document": (update({"q": {"name": "a"}, "u": A_SET}), HOLD),
    "several statements": (update(by_id(1), by_id(2)), HOLD),
    "several statements on one document": (update(by_id(1), by_id(1)), HOLD),
    "multi as a number": (update(by_id(1, multi=1)), REFUSE),
    "multi as a text": (update(by_id(1, multi="false")), REFUSE),
    "an update by pipeline of all": (update({"q": {}, "u": [{"$set": {"a": 1}}]}), HOLD),
    "an upsert by a filter that is not unique": (
        update({"q": {"name": "a"}, "u": A_SET, "upsert": True}),
        HOLD,
    ),
    "upsert as a number": (update(by_id(1, upsert=1)), REFUSE),
    "no statement at all": (update(), REFUSE),
    # What looks like an _id and is none.
    "_id by operator": (update(by_id({"$eq": 1})), HOLD),
    "_id in a list": (update(by_id({"$in": [1, 2]})), HOLD),
    "_id that is not another": (update(by_id({"$ne": 1})), HOLD),
    "_id as a list": (update(by_id([1, 2])), HOLD),
    "_id by regular expression": (update(by_id(Regex(".*"))), HOLD),
    "_id null": (update(by_id(None)), HOLD),
    "_id as an empty document": (update(by_id({})), HOLD),
    "_id within $and": (update({"q": {"$and": [{"_id": 1}]}, "u": A_SET}), HOLD),
    "_id within $or": (update({"q": {"$or": [{"_id": 1}, {}]}, "u": A_SET}), HOLD),
    "a part of _id": (update({"q": {"_id.a": 1}, "u": A_SET}), HOLD),
    "_ID": (update({"q": {"_ID": 1}, "u": A_SET}), HOLD),
    "_id and a blank": (update({"q": {"_id ": 1}, "u": A_SET}), HOLD),
    "_id under a collation that takes several for equal": (
        update(by_id("a", collation={"locale": "en", "strength": 1})),
        HOLD,
    ),
    # Deletes and findAndModify.
    "a delete without limit": (delete({"q": {}, "limit": 0}), HOLD),
    "a delete by _id without limit": (delete({"q": {"_id": 1}, "limit": 0}), HOLD),
    "a delete that says nothing of a limit": (delete({"q": {"_id": 1}}), REFUSE),
    "a delete with a limit of -1": (delete({"q": {"_id": 1}, "limit": -1}), REFUSE),
    "a delete with a limit of true": (delete({"q": {"_id": 1}, "limit": True}), REFUSE),
    "deleteOne of any": (delete({"q": {}, "limit": 1}), HOLD),
    "several deletes": (
        delete({"q": {"_id": 1}, "limit": 1}, {"q": {"_id": 2}, "limit": 1}),
        HOLD,
    ),
    "findAndModify without _id": (
        {"findAndModify": "sites", "query": {"state": "x"}, "update": A_SET},
        HOLD,
    ),
    "findAndModify without query": ({"findAndModify": "sites", "update": A_SET}, HOLD),
    "findAndModify by its old name": (
        {"findandmodify": "sites", "query": {}, "remove": True},
        HOLD,
    ),
    "findAndModify that removes and updates": (
        {"findAndModify": "sites", "query": {"_id": 1}, "remove": True, "update": A_SET},
        REFUSE,
    ),
    "findAndModify with remove as a number": (
        {"findAndModify": "sites", "query": {"_id": 1}, "remove": 1},
        REFUSE,
    ),
    # Inserts and bulkWrite.
    "an insert of many": ({"insert": "sites", "documents": [{"_id": 1}, {"_id": 2}]}, HOLD),
    "a huge insert over existing ids": (
        {"insert": "sites", "documents": [{"_id": n} for n in range(5_000)], "ordered": False},
        HOLD,
    ),
    "an insert of nothing": ({"insert": "sites", "documents": []}, REFUSE),
    "bulkWrite": (
        {
            "bulkWrite": 1,
            "ops": [{"update": 0, "filter": {"_id": 1}, "updateMods": A_SET}],
            "nsInfo": [{"ns": "shop.sites"}],
        },
        HOLD,
    ),
    "bulkWrite with an unknown operation": (
        {"bulkWrite": 1, "ops": [{"drop": 0}], "nsInfo": [{"ns": "shop.sites"}]},
        REFUSE,
    ),
    "bulkWrite into the accounts": (
        {
            "bulkWrite": 1,
            "ops": [{"insert": 0, "document": {"_id": 1}}],
            "nsInfo": [{"ns": "admin.system.users"}],
        },
        REFUSE,
    ),
    "bulkWrite to a namespace that is not listed": (
        {
            "bulkWrite": 1,
            "ops": [{"insert": 1, "document": {"_id": 1}}],
            "nsInfo": [{"ns": "shop.sites"}],
        },
        REFUSE,
    ),
    # What is precious.
    "an overwritten metadata": (
        {"update": "deploys", "updates": [by_id("d1", {"$set": {"metadata": {"migrated": True}}})]},
        HOLD,
    ),
    "a part of metadata": (
        {"update": "deploys", "updates": [by_id("d1", {"$unset": {"metadata.tree": ""}})]},
        HOLD,
    ),
    "metadata renamed away": (
        {"update": "deploys", "updates": [by_id("d1", {"$rename": {"metadata": "old"}})]},
        HOLD,
    ),
    "something renamed over metadata": (
        {"update": "deploys", "updates": [by_id("d1", {"$rename": {"new": "metadata"}})]},
        HOLD,
    ),
    "metadata by pipeline": (
        {"update": "deploys", "updates": [by_id("d1", [{"$set": {"metadata": {}}}])]},
        HOLD,
    ),
    "metadata unset by pipeline": (
        {"update": "deploys", "updates": [by_id("d1", [{"$unset": ["a", "metadata.tree"]}])]},
        HOLD,
    ),
    "a whole deploy by pipeline": (
        {"update": "deploys", "updates": [by_id("d1", [{"$replaceWith": {"a": 1}}])]},
        HOLD,
    ),
    "a whole deploy replaced": ({"update": "deploys", "updates": [by_id("d1", {"a": 1})]}, HOLD),
    "a deploy emptied": ({"update": "deploys", "updates": [by_id("d1", {})]}, HOLD),
    "a deploy deleted": (
        {"delete": "deploys", "deletes": [{"q": {"_id": "d1"}, "limit": 1}]},
        HOLD,
    ),
    "a deploy taken by findAndModify": (
        {"findAndModify": "deploys", "query": {"_id": "d1"}, "remove": True},
        HOLD,
    ),
    # Pipelines.
    "$out": (aggregate({"$match": {}}, {"$out": "sites"}), HOLD),
    "$out to another database": (aggregate({"$out": {"db": "other", "coll": "x"}}), HOLD),
    "$out to the accounts": (aggregate({"$out": {"db": "admin", "coll": "system.users"}}), REFUSE),
    "$merge": (aggregate({"$merge": {"into": "sites", "whenMatched": "replace"}}), HOLD),
    "$merge by its short form": (aggregate({"$merge": "sites"}), HOLD),
    "$merge with a script": (
        aggregate({"$merge": {"into": "s", "whenMatched": [{"$set": {"a": {"$function": {}}}}]}}),
        REFUSE,
    ),
    "$out within $facet": (aggregate({"$facet": {"a": [{"$out": "sites"}]}}), REFUSE),
    "$out within $lookup": (
        aggregate({"$lookup": {"from": "a", "pipeline": [{"$out": "b"}], "as": "c"}}),
        REFUSE,
    ),
    "$merge within $unionWith": (
        aggregate({"$unionWith": {"coll": "a", "pipeline": [{"$merge": "b"}]}}),
        REFUSE,
    ),
    "$out before the end": (aggregate({"$out": "a"}, {"$match": {}}), REFUSE),
    "$OUT": (aggregate({"$OUT": "sites"}), REFUSE),
    "two operators in one stage": (aggregate({"$match": {}, "$out": "sites"}), REFUSE),
    "a stage that nobody knows": (aggregate({"$_internalApplyOplogUpdate": {}}), REFUSE),
    "an expression that nobody knows": (aggregate({"$project": {"a": {"$spell": 1}}}), REFUSE),
    "a pipeline that is no list": (
        {"aggregate": "sites", "pipeline": {"0": {"$out": "sites"}}, "cursor": {}},
        REFUSE,
    ),
    "the accounts read through $lookup": (
        {
            "aggregate": "x",
            "pipeline": [
                {"$lookup": {"from": {"db": "admin", "coll": "system.users"}, "as": "a"}},
            ],
        },
        REFUSE,
    ),
    # Scripts.
    "$where": ({"find": "sites", "filter": {"$where": "sleep(1)"}}, REFUSE),
    "$where in an update by _id": (
        update({"q": {"_id": 1, "$where": "1"}, "u": A_SET}),
        REFUSE,
    ),
    "$where below $or": ({"count": "sites", "query": {"$or": [{"$where": "1"}]}}, REFUSE),
    "$function in $expr": (
        {"find": "sites", "filter": {"$expr": {"$function": {"body": "x"}}}},
        REFUSE,
    ),
    "$function in a projection": (
        {"find": "sites", "projection": {"a": {"$function": {"body": "x"}}}},
        REFUSE,
    ),
    "$accumulator": (aggregate({"$group": {"_id": 1, "a": {"$accumulator": {}}}}), REFUSE),
    "$function in an update": (update(by_id(1, [{"$set": {"a": {"$function": {}}}}])), REFUSE),
    "$function in let": (
        {"find": "sites", "filter": {}, "let": {"a": {"$function": {}}}},
        REFUSE,
    ),
    "$where in arrayFilters": (update(by_id(1, arrayFilters=[{"$where": "1"}])), REFUSE),
    "code as a value of a filter": ({"find": "sites", "filter": {"a": Code("f()")}}, REFUSE),
    "mapReduce": ({"mapReduce": "sites", "map": "f", "reduce": "g", "out": "x"}, REFUSE),
    "mapreduce": ({"mapreduce": "sites", "map": "f", "reduce": "g", "out": "x"}, REFUSE),
    "eval": ({"eval": "db.sites.drop()"}, REFUSE),
    "$eval": ({"$eval": "db.sites.drop()"}, REFUSE),
    "group": ({"group": {"ns": "sites", "$reduce": "f"}}, REFUSE),
    # Structure, the server, accounts.
    "drop": ({"drop": "sites"}, HOLD),
    "dropDatabase": ({"dropDatabase": 1}, HOLD),
    "renameCollection": ({"renameCollection": "shop.a", "to": "shop.b"}, HOLD),
    "renameCollection over the accounts": (
        {"renameCollection": "shop.a", "to": "admin.system.users", "dropTarget": True},
        REFUSE,
    ),
    "collMod of a validator": ({"collMod": "sites", "validator": {}}, HOLD),
    "a unique index": (
        {"createIndexes": "sites", "indexes": [{"key": {"a": 1}, "name": "a", "unique": True}]},
        HOLD,
    ),
    "an index that deletes after a while": (
        {
            "createIndexes": "sites",
            "indexes": [{"key": {"at": 1}, "name": "a", "expireAfterSeconds": 0}],
        },
        HOLD,
    ),
    "dropIndexes": ({"dropIndexes": "sites", "index": "*"}, HOLD),
    "deleteIndexes": ({"deleteIndexes": "sites", "index": "*"}, HOLD),
    "create with a validator": ({"create": "x", "validator": {}}, HOLD),
    "create of a view": ({"create": "x", "viewOn": "sites", "pipeline": []}, HOLD),
    "create of a collection that deletes": (
        {"create": "x", "timeseries": {"timeField": "at"}, "expireAfterSeconds": 1},
        HOLD,
    ),
    "convertToCapped": ({"convertToCapped": "sites", "size": 1}, HOLD),
    "applyOps": ({"applyOps": [{"op": "d", "ns": "shop.sites", "o": {}}]}, REFUSE),
    "doTxn": ({"doTxn": []}, REFUSE),
    "createUser": ({"createUser": "me", "pwd": "x", "roles": ["root"]}, REFUSE),
    "grantRolesToUser": ({"grantRolesToUser": "me", "roles": ["root"]}, REFUSE),
    "shutdown": ({"shutdown": 1}, HOLD),
    "setParameter": ({"setParameter": 1, "notablescan": True}, HOLD),
    "killOp": ({"killOp": 1, "op": 1}, HOLD),
    "validate with repair": ({"validate": "sites", "repair": True}, HOLD),
    # Names, cases, blanks.
    "INSERT": ({"INSERT": "sites", "documents": [{}]}, REFUSE),
    "Find": ({"Find": "sites"}, REFUSE),
    "a blank before drop": ({" drop": "sites"}, REFUSE),
    "a blank behind find": ({"find ": "sites"}, REFUSE),
    "a name with a newline": ({"find\n": "sites"}, REFUSE),
    "no name at all": ({}, REFUSE),
    "a command after another": ({"find": "sites", "drop": "sites"}, REFUSE),
    "the database first": ({"$db": "shop", "drop": "sites"}, REFUSE),
    "a command that nobody knows": ({"launchMissiles": 1}, REFUSE),
    "a field that nobody knows": (update(by_id(1), bypass=True), REFUSE),
    "a field of a statement that nobody knows": (update(by_id(1, many=True)), REFUSE),
    "an update in the oplog's terms": (update(by_id(1, {"$v": 2, "diff": {"u": {}}})), REFUSE),
    "an unknown update operator": (update(by_id(1, {"$setAll": {"a": 1}})), REFUSE),
    "an update of operators and fields": (update(by_id(1, {"$set": {"a": 1}, "b": 2})), REFUSE),
    "the wrapped query of old": (update({"q": {"$query": {"_id": 1}}, "u": A_SET}), REFUSE),
    "validation bypassed": (update(by_id(1), bypassDocumentValidation=True), HOLD),
    "a collection by its UUID": (
        {"delete": Binary(b"0" * 16, 4), "deletes": [{"q": {"_id": 1}, "limit": 1}]},
        REFUSE,
    ),
    "a collection with a dollar": ({"insert": "$cmd", "documents": [{"_id": 1}]}, REFUSE),
    "stored scripts": ({"insert": "system.js", "documents": [{"_id": "f"}]}, REFUSE),
    "a view by its catalogue": ({"insert": "system.views", "documents": [{"_id": "v"}]}, REFUSE),
    "buckets of time series": (
        {"delete": "system.buckets.x", "deletes": [{"q": {"_id": 1}, "limit": 1}]},
        REFUSE,
    ),
    # Depth, explain, cursors.
    "a filter that is too deep": ({"find": "sites", "filter": deep(80)}, REFUSE),
    "a pipeline that is too deep": (aggregate({"$match": deep(80)}), REFUSE),
    "explain of a write to many": ({"explain": update({"q": {}, "u": A_SET, "multi": True})}, HOLD),
    "explain of $out": ({"explain": aggregate({"$out": "sites"})}, HOLD),
    "explain on another database": ({"explain": {"find": "sites", "$db": "other"}}, REFUSE),
    "explain of explain": ({"explain": {"explain": {"find": "sites"}}}, REFUSE),
    "explain of nothing": ({"explain": 1}, REFUSE),
    "getMore of a text": ({"getMore": "1", "collection": "sites"}, REFUSE),
    "killCursors of everything": ({"killCursors": "sites", "cursors": "*"}, REFUSE),
}


@pytest.mark.parametrize("way", WAYS)
def test_no_way_round_passes(way: str) -> None:
    body, expected = WAYS[way]
    found = judge(body)
    assert found.decision is expected, found.reason
    assert found.reason


@pytest.mark.parametrize(
    "database",
    [None, "", 1, "shop.sites", "a b", "$external", "x" * 64, ["shop"], "shop\0"],
)
def test_a_database_that_is_none_is_refused(database: object) -> None:
    assert judge({"find": "sites"}, **{"$db": database}).decision is REFUSE


def test_a_command_without_a_database_is_refused() -> None:
    assert JUDGE.judge(Command.of({"find": "sites"})).decision is REFUSE


@pytest.mark.parametrize("database", ["admin", "config", "local"])
@pytest.mark.parametrize(
    "body",
    [
        {"insert": "x", "documents": [{"_id": 1}]},
        {"drop": "system.users"},
        {"dropDatabase": 1},
        {"create": "x"},
        {"createIndexes": "x", "indexes": []},
    ],
)
def test_nobody_writes_to_the_servers_own_databases(database: str, body: dict[str, Any]) -> None:
    assert judge(body, **{"$db": database}).decision is REFUSE


@pytest.mark.parametrize("name", ["find", "aggregate", "count", "distinct"])
def test_nobody_reads_the_accounts(name: str) -> None:
    body: dict[str, Any] = {name: "system.users", "$db": "admin"}
    body |= {"pipeline": []} if name == "aggregate" else {}
    assert JUDGE.judge(Command.of(body)).kind is Kind.FORBIDDEN


@pytest.mark.parametrize("concern", [{"w": 0}, {"w": Int64(0)}, {"w": 0.0}])
def test_what_would_be_held_is_refused_when_nobody_waits_for_the_answer(
    concern: dict[str, Any],
) -> None:
    assert judge({"drop": "sites"}, writeConcern=concern).decision is REFUSE
    precious = {"update": "deploys", "updates": [by_id("d1", {"metadata": 1})]}
    assert judge(precious, writeConcern=concern).decision is REFUSE
    assert judge(update(by_id(1)), writeConcern=concern).decision is Decision.PASS


def of_bytes(body: bytes, *, flags: int = 0, sequences: bytes = b"") -> Verdict:
    content = flags.to_bytes(4, "little") + b"\0" + body + sequences
    header = (16 + len(content)).to_bytes(4, "little") + bytes(8) + (2013).to_bytes(4, "little")
    return JUDGE.judge(Command.of_message(parse_message(header + content)))


def raw(*elements: tuple[str, Any]) -> bytes:
    """A document whose keys may come twice."""
    inner = b"".join(bson.encode({key: value})[4:-1] for key, value in elements)
    return (len(inner) + 5).to_bytes(4, "little") + inner + b"\0"


def sequence(name: str, *documents: bytes) -> bytes:
    content = name.encode() + b"\0" + b"".join(documents)
    return b"\1" + (len(content) + 4).to_bytes(4, "little") + content


def test_a_key_that_comes_twice_is_refused_wherever_it_stands() -> None:
    top = raw(("find", "sites"), ("filter", {}), ("filter", {"a": 1}), ("$db", "shop"))
    assert of_bytes(top).decision is REFUSE
    twice = RawBSONDocument(raw(("_id", 1), ("_id", {"$gt": 0})))
    statement = {"q": twice, "u": A_SET}
    below = raw(("update", "sites"), ("updates", [statement]), ("$db", "shop"))
    assert of_bytes(below).decision is REFUSE
    body = raw(("update", "sites"), ("$db", "shop"))
    apart = sequence("updates", raw(("q", {"_id": 1}), ("u", A_SET), ("q", {})))
    assert of_bytes(body, sequences=apart).decision is REFUSE


def test_two_databases_are_refused() -> None:
    twice = raw(("drop", "x"), ("$db", "test"), ("$db", "shop"))
    assert of_bytes(twice).decision is REFUSE


def test_statements_in_the_body_and_beside_it_are_refused() -> None:
    body = {**update(by_id(1)), "$db": "shop"}
    command = Command.of(body, {"updates": [{"q": {}, "u": A_SET, "multi": True}]})
    assert JUDGE.judge(command).decision is REFUSE


def test_statements_beside_the_body_count_as_if_they_stood_in_it() -> None:
    body = raw(("update", "sites"), ("$db", "shop"))
    statement = bson.encode({"q": {"_id": 1}, "u": A_SET})
    assert of_bytes(body, sequences=sequence("updates", statement)).decision is Decision.PASS
    twice = sequence("updates", statement, statement)
    assert of_bytes(body, sequences=twice).kind is Kind.SEVERAL
    assert of_bytes(body, sequences=sequence("deletes", statement)).decision is REFUSE
    insert = raw(("insert", "sites"), ("$db", "shop"))
    many = sequence("documents", *(bson.encode({"_id": n}) for n in range(3)))
    assert of_bytes(insert, sequences=many).kind is Kind.SEVERAL


def test_what_would_be_held_is_refused_in_a_message_without_answer() -> None:
    body = bson.encode({"drop": "sites", "$db": "shop"})
    assert of_bytes(body, flags=2).decision is REFUSE
    assert of_bytes(body).decision is HOLD


def test_a_compressed_message_is_judged_like_any_other() -> None:
    frame = encode_command({"drop": "sites", "$db": "shop"}, request_id=1, compressor=None)
    assert JUDGE.judge(Command.of_message(parse_message(frame))).decision is HOLD


@pytest.mark.parametrize("key", ["a", 1, Int64(1), 1.5, ObjectId(), b"x", {"a": 1, "b": 2}, True])
def test_an_id_by_equality_names_one_document(key: Any) -> None:
    assert judge(update(by_id(key))).kind is Kind.ONE
