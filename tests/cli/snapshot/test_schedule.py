"""`blackstart snapshot schedule --once`, and which settings the schedule follows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from blackstart.recovery.settings import RecoverySettings
from blackstart.recovery.snapshots import Snapshots
from blackstart.seed import Seed
from blackstart.settings import load

if TYPE_CHECKING:
    from tests.cli.snapshot.conftest import Place
    from tests.conftest import ManualClock

ONCE = ("snapshot", "schedule", "--once", "--every", "1d")


def test_what_is_due_is_taken_once_with_its_bytes_and_its_time(place: Place) -> None:
    place.fill()
    done = place.call(*ONCE)
    assert (done.code, done.err) == (0, "")
    (row,) = place.json("list")
    first, _, rest = done.out.partition("  ")
    assert first == row["id"]
    assert rest.startswith(f"3 documents, {row['stored_bytes']} B new, ")
    assert len(done.out.strip()) < 80
    assert place.call(*ONCE).err == "nothing is due; no snapshot was taken\n"


def test_one_that_is_empty_is_taken_and_not_overlooked(place: Place) -> None:
    done = place.call(*ONCE)
    assert done.code == 0
    assert "is EMPTY" in done.err


def test_a_rule_prunes_afterwards(place: Place, manual_clock: ManualClock) -> None:
    place.fill()
    snapshots = Snapshots(place.objects)
    place.database(lambda database: snapshots.take(database, manual_clock, Seed(1)))
    done = place.call(*ONCE, "--keep", "newest=1")
    assert (done.code, len(place.json("list"))) == (0, 1)
    assert "1 snapshot and 0 chunks (0 B) removed" in done.err


def test_events_are_json_lines_for_scripts(place: Place) -> None:
    place.fill()
    (line,) = place.call(*ONCE, "--json").out.splitlines()
    said = json.loads(line)
    assert (said["event"], said["documents"], said["late"]) == ("snapshot.taken", 3, False)
    assert said["new_bytes"] > 0


def test_a_database_that_is_away_is_told_in_one_line(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=1"
    with monkeypatch.context() as patched:
        patched.setenv("BLACKSTART_MONGODB_URI", away)
        patched.setattr("blackstart.store.metadata.CONNECT_TIMEOUT_MS", 1)
        done = place.call(*ONCE)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: MongoDB does not answer: ")
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("option", "value", "hint"), [("--every", "15", "15m"), ("--keep", "all", "newest=4")]
)
def test_what_makes_no_sense_is_refused_by_name(
    place: Place, option: str, value: str, hint: str
) -> None:
    done = place.call("snapshot", "schedule", option, value)
    assert done.code == 2
    assert done.err.startswith(f"error: {option}: ")
    assert hint in done.err


@pytest.mark.parametrize(
    ("safeguards", "set_to", "every"),
    [("all", "", "15m"), ("", "", "1d"), ("pointer-log", "", "1d"), ("all", "6h", "6h")],
)
def test_how_often_is_set_or_follows_from_the_safeguard(
    safeguards: str, set_to: str, every: str
) -> None:
    settings = load(RecoverySettings, safeguards=safeguards, snapshot_every=set_to)
    assert str(settings.every()) == every
