"""What is left out of a command is left out of all that is told about it, wherever it is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pymongo.errors import OperationFailure
from tests.guard.web.conftest import Serve, Site
from tests.guard.web.other_side import OtherSide

MARK = "4f1c-planted"
"""Stands in every value that must not be told."""
ADA = {
    "_id": {"mail": f"id-{MARK}", "n": 1},
    "mail": f"ada-{MARK}",
    "token": {f"name-{MARK}": 1, "value": f"value-{MARK}"},
    "profile": {"owner": f"owner-{MARK}", "seen": 3},
    "shown": "this may be read",
}
BOB = {**ADA, "_id": {"mail": f"id2-{MARK}", "n": 2}}
ALL: dict[str, Any] = {}


def updates(change: Any, found: Any = ALL) -> dict[str, Any]:
    return {"update": "people", "updates": [{"q": found, "u": change, "multi": True}]}


HELD: dict[str, dict[str, Any]] = {
    "a sub-document that is replaced": updates(
        {"$set": {"profile": {"owner": f"new-{MARK}"}, "token.name": f"new-{MARK}"}},
        {"mail": f"ada-{MARK}"},
    ),
    "fields below one that goes": updates({"$unset": {"token": "", "profile.seen": ""}}),
    "a field that is renamed": updates({"$rename": {"mail": "address"}}),
    "a field that is copied": updates([{"$set": {"copy": {"$concat": ["<", "$mail", ">"]}}}]),
    "an error that quotes a value": updates([{"$set": {"n": {"$toInt": "$mail"}}}]),
    "what cannot be foreseen": updates({"$pull": {"list": {"$gt": 3}}}),
    "a replacement": updates({"$currentDate": {"token": True}}),
    "a delete": {"delete": "people", "deletes": [{"q": {}, "limit": 0}]},
    "an insert": {"insert": "people", "documents": [{"mail": MARK}, {"token": {"a": MARK}}]},
    "an index": {
        "createIndexes": "people",
        "indexes": [
            {"key": {"n": 1}, "name": "n", "partialFilterExpression": {"mail": f"x-{MARK}"}}
        ],
    },
    "a validator": {"collMod": "people", "validator": {"mail": {"$ne": f"x-{MARK}"}}},
    "$merge": {
        "aggregate": "people",
        "pipeline": [
            {"$match": {"mail": f"x-{MARK}"}},
            {"$merge": {"into": "other", "whenMatched": [{"$set": {"mail": f"y-{MARK}"}}]}},
        ],
        "cursor": {},
    },
}


async def ask(site: Site, command: dict[str, Any]) -> None:
    async with site.client("ada") as client:
        with pytest.raises(OperationFailure):
            await client[site.database].command(command)


async def everything_told(site: Site, other_side: OtherSide) -> dict[str, str]:
    """All that anybody but the author can read, by where it is read."""
    files = [path for path in site.folder.rglob("*") if path.is_file()]
    told = {str(path.relative_to(site.folder)): _text(path) for path in files}
    told["the webhook"] = json.dumps(other_side.posted)
    numbers = [request.number for request in site.book.all()]
    async with site.browser("bob") as browser:
        for page in ("/?all=1", "/channel", *(f"/requests/{number}" for number in numbers)):
            told[page] = await browser.text(page)
    async with site.client("bob") as bob:
        told["the command line"] = str([await bob.admin.command("guardRequests", 1)])
    return told


def _text(path: Path) -> str:
    return path.read_bytes().decode(errors="replace")


async def test_a_planted_value_is_found_nowhere(
    serve: Serve, store: Any, other_side: OtherSide
) -> None:
    await store.database["people"].insert_many([ADA, BOB])
    await other_side.begin(other_side.take)
    given = {"guard_redact": ["mail", "profile.owner"], "guard_webhook": other_side.url}
    async with serve(guard_wait_s=0, **given) as site:
        for command in HELD.values():
            await ask(site, command)
        requests = site.book.all()
        assert len(requests) == len(HELD)
        twice = {"insert": "people", "documents": [ADA, BOB]}
        await ask(site, twice)
        async with site.browser("bob") as browser:
            await browser.say(len(HELD) + 1, "approve", reason="let it fail")
        async with site.client("ada") as client:
            answer = await client[site.database].command(twice)
            assert MARK in str(answer), "its own author is told all"
        await site.until(lambda: len(other_side.posted) >= len(HELD) + 2)
        told = await everything_told(site, other_side)
        assert "this may be read" in told["the webhook"] and "duplicate" in told["/requests/13"]
        assert ">gone<" in told["/requests/8"] and "not foreseen<" not in told["/requests/8"]
        assert "not foreseen<" in told["/requests/6"]
        assert [where for where, text in told.items() if MARK in text] == []
        assert {request.state for request in requests} == {"held"}


async def test_fields_that_go_are_named_as_far_as_their_names_are_no_value(
    serve: Serve, store: Any
) -> None:
    await store.database["people"].insert_many([ADA, BOB])
    async with serve(guard_wait_s=0, guard_redact=["profile.owner"]) as site:
        await ask(site, updates({"$set": {"token": 1, "profile": {}}}))
        (part,) = site.book.get(1).foreseen().parts
    assert part.dropped == {"profile.owner": 2, "profile.seen": 2, "token.(redacted)": 2}
    assert part.matched == 2
