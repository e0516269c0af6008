"""Ways round the rules that hide in what a decoder, a person or a lenient server takes for else."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from bson import DBRef, Decimal128, Int64
from bson.raw_bson import RawBSONDocument
from tests.guard.rules.test_ways_round import (
    A_SET,
    HOLD,
    JUDGE,
    REFUSE,
    aggregate,
    by_id,
    judge,
    of_bytes,
    raw,
    update,
)

from blackstart.guard.rules import Command, Decision

HIDDEN: dict[str, tuple[dict[str, Any], Decision]] = {
    # A DBRef is one value to the decoder, whatever else stands in it.
    "$out in a DBRef": (
        aggregate({"$facet": DBRef("a", 1, None, x=[{"$out": "sites"}])}),
        REFUSE,
    ),
    "$where in a DBRef": (
        {"find": "sites", "filter": {"a": DBRef("a", 1, None, **{"$where": "1"})}},
        REFUSE,
    ),
    "$function in the _id of a DBRef": (
        {"find": "sites", "filter": {"a": DBRef("a", {"$function": {"body": "x"}})}},
        REFUSE,
    ),
    "an _id that is a DBRef": (update(by_id(DBRef("a", 1))), HOLD),
    # What follows $literal is a value to MongoDB, and a field to others.
    "$out behind $literal": (aggregate({"$facet": {"$literal": [{"$out": "sites"}]}}), REFUSE),
    "$merge behind two $literal": (
        aggregate({"$facet": {"$literal": {"a": {"$literal": [{"$merge": "sites"}]}}}}),
        REFUSE,
    ),
    "$function behind $literal": (
        aggregate({"$project": {"a": {"$literal": {"$function": {}}}}}),
        REFUSE,
    ),
    "$where behind $literal in an update": (
        update(by_id(1, {"$set": {"a": {"$literal": {"$where": "1"}}}})),
        REFUSE,
    ),
    # Commands any of whose fields are known.
    "$where in currentOp": ({"currentOp": 1, "$where": "1"}, REFUSE),
    "$function in serverStatus": ({"serverStatus": 1, "a": {"$function": {}}}, REFUSE),
    # Explain.
    "explain of a commit": ({"explain": {"commitTransaction": 1}}, REFUSE),
    "explain of drop": ({"explain": {"drop": "sites"}}, REFUSE),
    "explain of a command of the guard's own": ({"explain": {"guardApprove": 1}}, REFUSE),
    "explain of findAndModify without _id": (
        {"explain": {"findAndModify": "sites", "query": {}, "remove": True}},
        HOLD,
    ),
    "explain of $where": ({"explain": {"find": "sites", "filter": {"$where": "1"}}}, REFUSE),
    # Shapes that no driver sends.
    "an insert of a text": ({"insert": "sites", "documents": "a"}, REFUSE),
    "an insert of a number": ({"insert": "sites", "documents": [5]}, REFUSE),
    "$unset of a number": (update(by_id(1, [{"$unset": 5}])), REFUSE),
    "$unset of numbers": (update(by_id(1, [{"$unset": [5]}])), REFUSE),
    "$unset of a document": (update(by_id(1, [{"$unset": {"metadata": 1}}])), REFUSE),
    "$rename to a list": (update(by_id(1, {"$rename": {"a": ["metadata"]}})), REFUSE),
    "arrayFilters as a number": (update(by_id(1, arrayFilters=5)), REFUSE),
    "arrayFilters null": (update(by_id(1, arrayFilters=None)), REFUSE),
    "create of a number": ({"create": 5}, HOLD),
    "a collection named true": ({"aggregate": True, "pipeline": [], "cursor": {}}, REFUSE),
    "an operation without a name": (
        {"bulkWrite": 1, "ops": [{"": 0}], "nsInfo": [{"ns": "shop.sites"}]},
        REFUSE,
    ),
    "a key with a dollar before the others": ({"$find": "sites", "find": "sites"}, REFUSE),
    "a known command with a key with a dollar": ({"find": "sites", "$query": {}}, REFUSE),
    # Words that look alike.
    "find in Cyrillic letters": ({"f\u0456nd": "sites"}, REFUSE),
    "a full-width dollar": (update(by_id(1, {"\uff04set": {"a": 1}, "$set": {"b": 1}})), REFUSE),
    "a mark without width": ({"find\u200b": "sites"}, REFUSE),
    "_id by a key that looks like it": (update({"q": {"\uff3fid": 1}, "u": A_SET}), HOLD),
    # Documents within documents.
    "$out deep within": (
        aggregate(
            {"$lookup": {"from": "a", "as": "b", "pipeline": [
                {"$unionWith": {"coll": "c", "pipeline": [{"$facet": {"d": [{"$out": "e"}]}}]}},
            ]}},
        ),
        REFUSE,
    ),
    "the accounts read through a pipeline within": (
        {**aggregate({"$facet": {"a": [
            {"$lookup": {"from": {"db": "admin", "coll": "system.users"}, "as": "x"}},
        ]}})},
        REFUSE,
    ),
    # Other commands that write or rule.
    "copydb": ({"copydb": 1, "fromdb": "shop", "todb": "x"}, REFUSE),
    "cloneCollectionAsCapped": (
        {"cloneCollectionAsCapped": "sites", "toCollection": "x", "size": 1},
        HOLD,
    ),
    "cloneCollectionAsCapped over the scripts": (
        {"cloneCollectionAsCapped": "sites", "toCollection": "system.js", "size": 1},
        REFUSE,
    ),
    "a view laid over another": ({"collMod": "v", "viewOn": "sites", "pipeline": []}, HOLD),
    "compact": ({"compact": "sites"}, HOLD),
    "reIndex": ({"reIndex": "sites"}, HOLD),
    "setFeatureCompatibilityVersion": ({"setFeatureCompatibilityVersion": "7.0"}, HOLD),
    "fsync with a lock": ({"fsync": 1, "lock": True}, HOLD),
    "logRotate": ({"logRotate": 1}, HOLD),
    "profile": ({"profile": 2}, HOLD),
    "moveChunk": ({"moveChunk": "shop.sites"}, HOLD),
    "a command of the shards' own": ({"_configsvrMoveChunk": "shop.sites"}, REFUSE),
    "an internal command": ({"internalRenameIfOptionsAndIndexesMatch": 1}, REFUSE),
    "killAllSessions": ({"killAllSessions": []}, HOLD),
    "usersInfo": ({"usersInfo": 1}, HOLD),
}  # fmt: skip


@pytest.mark.parametrize("way", HIDDEN)
def test_no_hidden_way_passes(way: str) -> None:
    body, expected = HIDDEN[way]
    found = judge(body)
    assert found.decision is expected, found.reason


def test_the_changes_of_the_accounts_are_nobodys_to_read() -> None:
    oplog = {"find": "oplog.rs", "tailable": True, "$db": "local"}
    assert JUDGE.judge(Command.of(oplog)).decision is REFUSE


@pytest.mark.parametrize(
    "w", [Decimal128("0"), Decimal128("NaN"), 0.5, -0.0, float("nan"), Int64(-1), False, "0"]
)
def test_half_an_acknowledgement_is_none(w: object) -> None:
    assert judge({"drop": "sites"}, writeConcern={"w": w}).decision is REFUSE
    assert judge({"drop": "sites"}, writeConcern={"w": "majority"}).decision is HOLD
    assert judge({"drop": "sites"}, writeConcern={"w": Int64(1)}).decision is HOLD


OLD = {"undefined": b"\x06", "a symbol": b"\x0e"}


@pytest.mark.parametrize("old", OLD)
def test_what_would_be_shown_as_something_else_is_not_held_but_refused(old: str) -> None:
    """Undefined is decoded as null, and a symbol as a text: the digest would be the same."""
    value = b"" if old == "undefined" else b"\x02\0\0\0x\0"
    inner = OLD[old] + b"a\0" + value
    found = RawBSONDocument((len(inner) + 5).to_bytes(4, "little") + inner + b"\0")
    many = raw(
        ("update", "sites"), ("updates", [{"q": found, "u": A_SET, "multi": True}]), ("$db", "shop")
    )
    verdict = of_bytes(many)
    assert (verdict.decision, "shown as others" in verdict.reason) == (REFUSE, True)
    plain = bson.encode({"drop": "sites", "$db": "shop"})
    assert of_bytes(plain).decision is HOLD


@pytest.mark.parametrize(
    "body",
    [
        {"drop": "sites\nrequest 3 approved by bob: fine"},
        {"drop": "sites\x1b[2J\x1b[1;1H"},
        {"drop": "sites\u202edlo"},
        {"renameCollection": "shop.a", "to": "shop.b\r\nheld"},
        {"x" * 100_000: 1},
        {"find": "sites", "y" * 100_000: 1},
    ],
)
def test_a_reason_is_one_short_line_without_codes(body: dict[str, Any]) -> None:
    reason = judge(body).reason
    assert reason.isprintable()
    assert len(reason) < 600
