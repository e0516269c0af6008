"""Updates worked out on a copy come to what the database makes of them."""

from __future__ import annotations

from typing import Any

import pytest

from blackstart.guard.preview.apply import UnforeseenError, applied
from blackstart.store import MetadataStore

BEFORE: dict[str, Any] = {
    "_id": 1,
    "n": 5,
    "text": "a",
    "inner": {"a": 1, "b": {"c": 2}},
    "list": [3, 1, 2, 1],
    "rows": [{"k": 1, "v": 2}, {"k": 2}],
}

CHANGES: dict[str, dict[str, Any]] = {
    "set": {"$set": {"n": 6, "new": {"x": 1}, "inner.b.c": 3, "inner.d.e": 4}},
    "set of a sub-document": {"$set": {"inner": {"z": 1}}},
    "set in a list": {"$set": {"list.1": 9, "rows.0.v": 3, "list.5": 0}},
    "unset": {"$unset": {"n": "", "inner.b": "", "nothing.here": ""}},
    "unset in a list": {"$unset": {"list.0": ""}},
    "inc and mul": {"$inc": {"n": 2, "fresh": 1}, "$mul": {"inner.a": 3, "other": 5}},
    "min and max": {"$min": {"n": 3, "low": 1}, "$max": {"inner.a": 7}},
    "rename": {"$rename": {"text": "words", "inner.a": "moved", "none": "never"}},
    "push": {"$push": {"list": 7, "made": 1}},
    "push of each": {"$push": {"list": {"$each": [8, 9], "$position": 1, "$slice": 4}}},
    "push sorted": {"$push": {"list": {"$each": [5], "$sort": -1, "$slice": 3}}},
    "addToSet": {"$addToSet": {"list": {"$each": [1, 7]}}},
    "pop": {"$pop": {"list": 1, "rows": -1}},
    "pull": {"$pull": {"list": 1, "rows": {"k": 2}}},
    "pullAll": {"$pullAll": {"list": [1, 2]}},
    "setOnInsert": {"$setOnInsert": {"n": 1}},
    "bit": {"$bit": {"n": {"and": 4}}},
    "a replacement": {"n": 1, "other": True},
    "a replacement by nothing": {},
}


@pytest.mark.parametrize("name", CHANGES)
async def test_an_update_is_foreseen_as_the_database_makes_it(
    name: str, store: MetadataStore
) -> None:
    change, things = CHANGES[name], store.database["things"]
    await things.insert_one(BEFORE)
    statement = {"q": {"_id": 1}, "u": change}
    answer = await store.database.command({"update": "things", "updates": [statement]})
    assert not answer.get("writeErrors"), answer
    assert applied(BEFORE, change) == await things.find_one({"_id": 1})


def test_the_document_itself_is_left_alone() -> None:
    before = {"_id": 1, "list": [1], "inner": {"a": 1}}
    applied(before, {"$push": {"list": 2}, "$set": {"inner.a": 2}})
    assert before == {"_id": 1, "list": [1], "inner": {"a": 1}}


@pytest.mark.parametrize(
    "change",
    [
        {"$set": {"list.$": 1}},
        {"$set": {"rows.$[x].v": 1}},
        {"$set": {"text.inner": 1}},
        {"$set": {"list.name": 1}},
        {"$set": {"list.99999": 1}},
        {"$inc": {"text": 1}},
        {"$push": {"n": 1}},
        {"$push": {"rows": {"$each": [], "$sort": {"k": 1}}}},
        {"$pull": {"list": {"$gt": 1}}},
        {"$max": {"text": 1}},
    ],
    ids=str,
)
def test_what_is_not_worked_out_is_told_and_not_guessed(change: dict[str, Any]) -> None:
    with pytest.raises(UnforeseenError):
        applied(BEFORE, change)
