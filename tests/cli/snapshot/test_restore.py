"""`blackstart snapshot restore` and `undo`, and the line with which a held write is undone."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from tests.cli.snapshot.conftest import DATABASE, Place

from blackstart.guard.redact import Redaction
from blackstart.guard.requests import Request
from blackstart.guard.saver import undo_command
from blackstart.recovery.snapshots.keys import CHUNKS


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the journals go."""
    monkeypatch.chdir(tmp_path)


def numbers(place: Place) -> list[Any]:
    async def read(database: Any) -> list[Any]:
        return [each.get("number") async for each in database["deploys"].find().sort("_id", 1)]

    found: list[Any] = place.database(read)
    return found


def lose(place: Place, where: dict[str, Any]) -> None:
    place.database(
        lambda database: database["deploys"].update_many(where, {"$set": {"number": -1}})
    )


def test_nothing_is_changed_without_yes(place: Place) -> None:
    place.fill(4)
    place.take()
    lose(place, {})
    ask = ("snapshot", "restore", "newest", "--collection", "deploys")
    done = place.call(*ask, "--where", '{"number": {"$lt": 2}}')
    assert done.code == 0
    assert f'~ deploys "{1:024x}"\n    ~ number  -1 -> 1\n' in done.out
    assert "       2  would be done\n" in done.out
    assert "what is not in the snapshot stays: --delete-others removes it" in done.out
    assert done.out.endswith("nothing was changed: --yes does it\n")
    assert numbers(place) == [-1] * 4
    assert place.call(*ask, "--where", '{"number": {"$lt": 2}}', "--yes").code == 0
    assert numbers(place) == [0, 1, -1, -1]


def test_what_was_done_is_told_and_taken_back(place: Place) -> None:
    place.fill(3)
    place.take()
    lose(place, {"number": 1})
    ask = ("restore", "newest", "--collection", "deploys", "--fields", "number")
    done = place.call("snapshot", *ask, "--yes")
    undo = next(line for line in done.out.splitlines() if "takes it back" in line).split("`")[1]
    assert numbers(place) == [0, 1, 2]
    again = place.json(*ask, "--yes")
    assert (again["run"], again["applied"], again["already"]) == (None, 0, 3)
    run = undo.split()[-1]
    assert "1  would be taken back" in place.call(*shlex.split(undo)[1:]).out
    assert numbers(place) == [0, 1, 2]
    assert place.json("undo", run, "--yes")["applied"] == 1
    assert numbers(place) == [0, -1, 2]
    refused = place.call("recover", "undo", run)
    assert (refused.code, f"blackstart snapshot undo {run}" in refused.err) == (1, True)


@pytest.mark.parametrize(("ended_by", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_run_that_is_stopped_in_its_writing_was_named_and_can_be_taken_back(
    place: Place, until: Any, ended_by: signal.Signals, code: int
) -> None:
    place.fill(2_500)
    place.take()
    lose(place, {})
    ask = ["snapshot", "restore", "newest", "--collection", "deploys", "--yes"]
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "blackstart.cli", *ask], stderr=subprocess.PIPE, text=True
    ) as process:
        journals = Path(".blackstart/recovery")

        def writing() -> bool:
            return any('"intent"' in each.read_text() for each in journals.glob("*.jsonl"))

        asyncio.run(until(writing))
        process.send_signal(ended_by)
        _, said = process.communicate(timeout=30)
    assert process.returncode == code
    [undo] = re.findall(r"run restore-.*: `blackstart (snapshot undo .*)` takes it back", said)
    if ended_by is signal.SIGKILL:
        # The server may still go on with what it was sent: nobody waited for it.
        assert place.call(*ask).code == 0
    else:
        assert numbers(place).count(-1) > 0
    back = 2_500 - numbers(place).count(-1)
    taken = place.call(*undo.split(), "--yes", "--json")
    assert taken.code == 0
    done = json.loads(taken.out)["applied"]
    assert 0 < done <= back
    assert numbers(place).count(-1) == 2_500 - back + done
    assert place.call(*ask).code == 0
    assert numbers(place) == list(range(2_500))


def test_a_moment_chooses_the_snapshot(place: Place) -> None:
    place.fill(2)
    place.take()
    lose(place, {})
    later = [each for each in place.json("list") if each["id"] == place.take()] or place.json(
        "list"
    )
    ask = ("restore", "newest", "--before", later[-1]["taken_at"], "--collection", "deploys")
    assert place.json(*ask, "--yes")["changed"] == 0
    assert numbers(place) == [0, 1]


def test_what_is_damaged_is_named_and_ends_with_1(place: Place) -> None:
    place.fill(2)
    place.take()
    lose(place, {})
    for path in (place.folder / CHUNKS).rglob("*"):
        if path.is_file():
            path.unlink()
    done = place.call("snapshot", "restore", "newest", "--delete-others", "--yes")
    assert done.code == 1
    assert f'NOT READ: 2 documents of deploys, _id "{0:024x}" to "{1:024x}"' in done.err
    assert "2 NOT REMOVED: the snapshot may hold them where it is damaged" in done.err
    assert numbers(place) == [-1, -1]


def held(*spaces: tuple[str, str], **command: Any) -> Request:
    """A request with a command as people see it."""
    return Request.model_construct(command=Redaction(["secret"])(command), spaces=spaces)


def run(place: Place, line: str, *more: str) -> Any:
    """What a line of the guard comes to here."""
    variable, command, *arguments = shlex.split(line)
    assert (variable, command) == (f"BLACKSTART_DATABASE={DATABASE}", "blackstart")
    return place.call(*arguments, *more)


def test_the_line_that_undoes_a_held_write_brings_back_what_it_changed(place: Place) -> None:
    place.fill(4)
    snapshot = place.take()
    lose(place, {"number": {"$gte": 2}})
    lose(place, {"number": 0})
    statement = {"q": {"number": {"$gte": 2}}, "u": {"$set": {"number": -1}}, "multi": True}
    request = held((DATABASE, "deploys"), update="deploys", updates=[statement])
    assert run(place, undo_command(request, DATABASE, snapshot), "--yes").code == 0
    assert numbers(place) == [-1, 1, 2, 3], "what the write did not match stays"


def test_the_line_that_undoes_a_drop_or_an_insert_names_what_it_needs(place: Place) -> None:
    place.fill(2)
    place.database(lambda database: database["sites"].insert_one({"_id": 1}))
    snapshot = place.take()
    place.database(lambda database: database.client.drop_database(DATABASE))
    dropped = held((DATABASE, "*"), dropDatabase=1)
    assert run(place, undo_command(dropped, DATABASE, snapshot), "--yes").code == 0
    assert numbers(place) == [0, 1]
    place.fill_more(2, 2)
    inserted = held((DATABASE, "deploys"), insert="deploys", documents=[{"_id": 1}])
    line = undo_command(inserted, DATABASE, snapshot)
    assert "--delete-others removes it" in run(place, line, "--yes").out
    assert numbers(place) == [0, 1, 2, 3]
    assert run(place, line, "--delete-others", "--yes").code == 0
    assert numbers(place) == [0, 1]


@pytest.mark.parametrize(
    "found",
    [
        {"_id": {"$in": [f"{number}" for number in range(30)]}},
        {"text": "x" * 2000},
        {"secret": "hush"},
        {"data": b"bytes"},
        {f"f{number}": 1 for number in range(150)},
    ],
)
def test_a_filter_that_people_see_in_part_is_no_filter_to_undo_by(found: dict[str, Any]) -> None:
    request = held(("d", "c"), delete="c", deletes=[{"q": found, "limit": 0}])
    assert undo_command(request, "d", "ID") == (
        "BLACKSTART_DATABASE=d blackstart snapshot restore ID --collection c"
    )


def test_a_filter_s_types_survive_the_line(place: Place) -> None:
    at = datetime(2017, 2, 2, 17, tzinfo=UTC)

    async def fill(database: Any) -> None:
        await database["deploys"].insert_many(
            {"_id": ObjectId(f"{n:024x}"), "at": at, "number": n} for n in range(2)
        )

    place.database(fill)
    snapshot = place.take()
    found = {"_id": ObjectId(f"{1:024x}"), "at": {"$gte": at}}
    request = held((DATABASE, "deploys"), delete="deploys", deletes=[{"q": found, "limit": 0}])
    place.database(lambda database: database["deploys"].delete_many({}))
    line = undo_command(request, DATABASE, snapshot)
    assert json.loads(run(place, line, "--json", "--yes").out)["applied"] == 1
    assert numbers(place) == [1]
