"""`blackstart audit`: shown as people read it, verified to the last line, exported whole."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import ManualClock, Recorder

from blackstart.cli.audit_options import the_trail
from blackstart.cli.audit_tail import Tail
from blackstart.guard.audit import AuditTrail, Wanted, open_trail
from blackstart.guard.guardroom import Places
from blackstart.seed import Seed
from blackstart.store import ObjectStore

Call = Callable[..., Any]
UPDATE = {"update": "deploys", "updates": [{"q": {}, "u": {"$set": {"a": 1}}, "multi": True}]}


class Kept:
    """A guard's folder with a trail in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[AuditTrail]:
        places = Places(self.folder)
        async with open_trail(
            places.audit,
            places.heads,
            "guard",
            ObjectStore.open(str(self.folder / "objects")),
            clock=self.clock,
            seed=Seed(1),
            events=Recorder(),
        ) as trail:
            yield trail

    async def write(self) -> None:
        """One held write, from its beginning to its end."""
        async with self.open() as trail:
            asked = {"login": "ada", "client": "127.0.0.1:5", "database": "blackstart"}
            await trail.record(
                "write.held", **asked, request=7, why="update of many", command=UPDATE
            )
            self.clock.advance(60)
            said = {"login": "bob", "word": "approved", "reason": '=HYPERLINK("x")'}
            await trail.record("request.said", **said, request=7)
            self.clock.advance(24 * 3_600)
            await trail.record("write.ended", request=7, state="executed", outcome="5 documents")
            await trail.record("guard.stopped", address="127.0.0.1:27018", why="=1+1")

    def segment(self) -> Path:
        """The one object that holds the lines."""
        (path,) = (self.folder / "objects").rglob("*.jsonl")
        return path

    def change(self, change: Callable[[list[bytes]], list[bytes]]) -> None:
        lines = self.segment().read_bytes().splitlines(keepends=True)
        self.segment().write_bytes(b"".join(change(lines)))


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    monkeypatch.setenv("BLACKSTART_GUARD_DATA", str(tmp_path / "guard"))
    kept = Kept(tmp_path / "guard")
    asyncio.run(kept.write())
    return kept


def actions(call: Call, *options: str) -> list[str]:
    done = call("audit", "show", "--json", *options)
    assert done.code == 0
    return [json.loads(line)["action"] for line in done.out.splitlines()]


def test_lines_are_shown_by_day_in_80_columns_the_newest_last(call: Call, kept: Kept) -> None:
    done = call("audit", "show")
    assert (done.code, done.err) == (0, "")
    lines = [line.rstrip() for line in done.out.splitlines()]
    assert max(map(len, lines)) <= 80
    assert lines == [
        "2017-02-02 (UTC)",
        "01:46:40 ada      write.held       #7 update deploys in blackstart: update of",
        "                                   many",
        '01:47:40 bob      request.said     #7 approved: =HYPERLINK("x")',
        "2017-02-03 (UTC)",
        "01:47:40          write.ended      #7 state executed, outcome 5 documents",
        "01:47:40          guard.stopped    address 127.0.0.1:27018, why =1+1",
    ]


def test_lines_are_picked(call: Call, kept: Kept) -> None:
    assert actions(call, "--login", "bob") == ["request.said"]
    assert actions(call, "--action", "write") == ["write.held", "write.ended"]
    assert actions(call, "--request", "7", "--limit", "2") == ["request.said", "write.ended"]
    assert actions(call, "--since", "2017-02-03") == ["write.ended", "guard.stopped"]
    assert call("audit", "show", "--login", "eve").err == "the audit trail has no such line\n"
    assert call("audit", "show", "--limit", "1").err == "there are 3 older ones: give --limit\n"


def test_json_has_all_of_a_line(call: Call, kept: Kept) -> None:
    row = json.loads(call("audit", "show", "--json", "--action", "write.held").out)
    assert (row["command"], row["at"]) == (UPDATE, "2017-02-02T01:46:40.000Z")


def test_a_whole_trail_is_said_to_be_whole(call: Call, kept: Kept) -> None:
    done = call("audit", "verify")
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith("the audit trail is whole: 4 lines\n")
    assert json.loads(call("audit", "verify", "--json").out)["whole"] is True


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda lines: [line.replace(b"ada", b"bob") for line in lines], "damaged-line"),
        (lambda lines: [*lines[:2], *lines[3:]], "missing-lines"),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], "misplaced-line"),
        (lambda lines: lines[:3], "cut-short"),
    ],
    ids=["changed", "removed", "reordered", "cut"],
)
def test_what_was_done_to_a_trail_is_named(
    call: Call, kept: Kept, change: Callable[[list[bytes]], list[bytes]], kind: str
) -> None:
    kept.change(change)
    done = call("audit", "verify")
    assert done.code == 1
    assert f"{kind}: " in done.out
    assert "the audit trail is not whole: " in done.out
    assert "see `blackstart audit verify`" in call("audit", "show").err


def test_an_end_that_was_cut_off_with_all_behind_it_is_found_by_the_head(
    call: Call, kept: Kept
) -> None:
    for path in Places(kept.folder).audit.glob("*.jsonl"):
        path.unlink()
    for path in (kept.folder / "objects").rglob("*.head"):
        path.unlink()
    kept.change(lambda lines: lines[:3])
    done = call("audit", "verify")
    assert done.code == 1
    assert "cut-tail: the ledger of guard-1-" in done.out


def test_where_no_guard_was_nothing_is_made(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = call("audit", "verify")
    assert (done.code, "no guard was at .blackstart/guard" in done.err) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_an_export_has_every_line(call: Call, kept: Kept, tmp_path: Path) -> None:
    file = tmp_path / "trail.jsonl"
    done = call("audit", "export", str(file))
    assert (done.code, done.out) == (0, f"4 lines in {file}\n")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [row["seq"] for row in rows] == [2, 3, 4, 5]
    assert rows[0]["command"] == UPDATE


def test_an_export_for_a_spreadsheet_holds_no_formula(
    call: Call, kept: Kept, tmp_path: Path
) -> None:
    file = tmp_path / "trail.csv"
    assert call("audit", "export", str(file)).code == 0
    with file.open(newline="") as text:
        rows = list(csv.DictReader(text))
    assert [row["seq"] for row in rows] == ["2", "3", "4", "5"]
    assert rows[3]["why"] == "'=1+1"
    assert json.loads(rows[0]["command"]) == UPDATE
    assert json.loads(rows[1]["details"])["word"] == "approved"
    assert not any(cell.startswith("=") for row in rows for cell in row.values())


def test_an_export_that_fails_leaves_the_file_as_it_was(
    call: Call, kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "trail.csv"
    file.write_text("before")

    def fail(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    done = call("audit", "export", str(file))
    assert (done.code, "No space left" in done.err) == (1, True)
    assert file.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["guard", "trail.csv"]


def test_an_export_of_a_trail_that_is_not_whole_ends_with_1(
    call: Call, kept: Kept, tmp_path: Path
) -> None:
    kept.change(lambda lines: [*lines[:2], *lines[3:]])
    done = call("audit", "export", str(tmp_path / "trail.jsonl"))
    assert (done.code, "3 lines in" in done.out, "problem" in done.err) == (1, True, True)


def test_new_lines_are_followed_over_the_moving_of_segments(kept: Kept) -> None:
    async def follow() -> list[list[str]]:
        tail = Tail(the_trail(None), Wanted(action="write"))
        await tail.newest(10)
        found = []
        for number in range(2):
            async with kept.open() as trail:
                await trail.record("write.held", request=number)
                await trail.record("guard.stopped")
                found.append([line.action for line in await tail.news()])
                await trail.record("write.sent", request=number)
            found.append([line.action for line in await tail.news()])
            found.append([line.action for line in await tail.news()])
        return found

    assert asyncio.run(follow()) == [["write.held"], ["write.sent"], []] * 2
