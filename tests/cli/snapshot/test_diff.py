"""`blackstart snapshot diff` and `find`: what they print, and with which code they end."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.cli.snapshot.conftest import Place

from blackstart.recovery.snapshots.keys import CHUNKS

NUMBER_1 = f"{1:024x}"
FIND = ("find", "newest", "--collection", "deploys", "--where")


def break_two(place: Place) -> None:
    """Take the number from two deploys, and remove a third."""

    async def work(database: Any) -> None:
        await database["deploys"].update_many({"number": {"$lt": 2}}, {"$unset": {"number": ""}})
        await database["deploys"].delete_one({"_id": f"{2:024x}"})

    place.database(work)


def damage_chunks(place: Place) -> None:
    for path in (place.folder / CHUNKS).rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-1])


def test_documents_come_first_and_then_the_counts(place: Place) -> None:
    place.fill(4)
    place.take()
    break_two(place)
    done = place.call("snapshot", "diff", "newest", "live")
    assert done.code == 1
    lines = done.out.splitlines()
    assert lines[:5] == [
        f'~ deploys "{0:024x}"',
        "    - number  0",
        f'~ deploys "{NUMBER_1}"',
        "    - number  1",
        f'- deploys "{2:024x}"',
    ]
    assert [line.split() for line in lines if line.startswith("deploys")] == [
        ["deploys", "0", "1", "2"],
        ["deploys", "number", "0", "2", "0", "0"],
    ]
    counts = place.call("snapshot", "diff", "newest", "live", "--summary")
    assert (counts.code, counts.out.strip()) == (1, "\n".join(lines[6:]).strip())


def test_json_is_a_line_for_each_document(place: Place) -> None:
    place.fill(4)
    first = place.take()
    break_two(place)
    second = place.take()
    done = place.call("snapshot", "diff", first, second, "--json", "--collection", "deploys")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert rows[1:] == [
        {
            "collection": "deploys",
            "_id": NUMBER_1,
            "change": "changed",
            "fields": [{"path": "number", "change": "removed", "before": 1}],
        },
        {
            "collection": "deploys",
            "_id": f"{2:024x}",
            "change": "removed",
            "document": {"_id": f"{2:024x}", "number": 2},
        },
    ]
    assert json.loads(place.call("snapshot", "diff", first, second, "--json", "--summary").out) == {
        "documents": {"deploys": {"removed": 1, "changed": 2}},
        "fields": [{"collection": "deploys", "path": "number", "removed": 2}],
        "uncompared": {},
    }


def test_a_number_of_another_type_is_told_by_its_type(place: Place) -> None:
    place.fill(1)
    place.take()
    place.database(lambda database: database["deploys"].update_one({}, {"$set": {"number": 0.0}}))
    assert (
        "    ~ number  0 (int32) -> 0.0 (double)\n"
        in place.call("snapshot", "diff", "newest", "live").out
    )


def test_no_difference_is_said_and_ends_with_0(place: Place) -> None:
    place.fill()
    first, second = place.take(), place.take()
    for arguments in ((first, second), (first, "live"), ("newest", "live", "--summary")):
        done = place.call("snapshot", "diff", *arguments)
        assert (done.code, done.out) == (0, "no difference\n")
    assert place.call("snapshot", "diff", first, second, "--json").out == ""


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["diff", "live", "newest"], 2, "the database comes second"),
        (["diff", "2017", "live"], 3, "no snapshot '2017'"),
        (["diff", "newest", "live", "--collection", "pages"], 2, "has a collection pages"),
        (["find", "newest", "--collection", "pages"], 2, "no collection pages"),
        (["find", "newest", "--collection", "deploys", "--where", "{number: 1"], 2, "is no JSON"),
        ([*FIND, '{"a": {"$numberDecimal": "x"}}'], 2, "is no JSON"),
        ([*FIND, '{"a": 99999999999999999999}'], 2, "cannot be asked for"),
        ([*FIND, '{"_id": "\\ud800"}'], 2, "cannot be asked for"),
        ([*FIND, '{"a\\u0000b": 1}'], 2, "cannot be asked for"),
        ([*FIND, '{"a": ' * 2000 + "1" + "}" * 2000], 2, "--where"),
        (["find", "newest", "--collection", "deploys", "--where", "[]"], 2, "to be a document"),
        (["find", "newest", "--collection", "deploys", "--where", '{"$where": "1"}'], 2, "$where"),
        (["find", "2017", "--collection", "deploys"], 3, "no snapshot '2017'"),
    ],
)
def test_trouble_is_neither_yes_nor_no(
    place: Place, arguments: list[str], code: int, said: str
) -> None:
    place.fill(1)
    place.take()
    done = place.call("snapshot", *arguments)
    assert (done.code, done.out) == (code, "")
    assert said in done.err


def test_what_cannot_be_read_is_named_and_ends_with_3(place: Place) -> None:
    place.fill(2)
    place.take()
    damage_chunks(place)
    done = place.call("snapshot", "diff", "newest", "live")
    assert (done.code, done.out) == (3, "")
    assert f'NOT READ: 2 documents of deploys, _id "{0:024x}" to "{1:024x}"' in done.err
    assert "of deploys could NOT BE COMPARED" in done.err
    found = place.call("snapshot", "find", "newest", "--collection", "deploys")
    assert (found.code, found.out) == (3, "")
    assert "NOT READ: 2 documents of deploys" in found.err


def test_a_document_is_found_as_extended_json(place: Place) -> None:
    place.fill(3)
    place.take()
    place.database(lambda database: database["deploys"].delete_many({}))
    find = ("snapshot", "find", "newest", "--collection", "deploys")
    done = place.call(*find, "--where", json.dumps({"_id": NUMBER_1}))
    assert (done.code, json.loads(done.out)) == (0, {"_id": NUMBER_1, "number": 1})
    lines = place.call(*find, "--json", "--limit", "2").out.splitlines()
    assert [json.loads(line)["number"] for line in lines] == [0, 1]
    nothing = place.call(*find, "--where", '{"number": 7}')
    assert (nothing.code, nothing.out) == (1, "")
