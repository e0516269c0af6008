"""`blackstart snapshot prune`: shows first, removes when told to, and says what stops it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.snapshot.conftest import Place


def ids(place: Place) -> list[str]:
    return [row["id"] for row in place.json("list")]


def test_without_apply_nothing_changes(place: Place) -> None:
    place.fill()
    first, second = place.take(), place.take()
    done = place.call("snapshot", "prune", "--keep", "newest=1")
    assert done.code == 0
    assert "nothing was changed: --apply does it" in done.err
    (line,) = [line for line in done.out.splitlines() if line.startswith(first)]
    assert line.rstrip().endswith("would be removed")
    (line,) = [line for line in done.out.splitlines() if line.startswith(second)]
    assert line.rstrip().endswith("kept: newest")
    assert "1 snapshot and 0 chunks (0 B) would be removed" in done.out
    assert max(len(line) for line in (done.out + done.err).splitlines()) <= 80
    assert ids(place) == [first, second]


def test_with_apply_snapshots_and_chunks_go(place: Place) -> None:
    place.fill()
    first = place.take()
    place.database(lambda database: database["deploys"].drop())
    place.fill_more(10, 10)
    second = place.take()
    done = place.call("snapshot", "prune", "--keep", "newest=1", "--apply")
    assert (done.code, done.err) == (0, "")
    assert "1 snapshot and 1 chunk (" in done.out
    assert ids(place) == [second]
    assert place.call("snapshot", "verify", "--all").code == 0
    again = json.loads(place.call("snapshot", "prune", "--apply", "--json").out)
    assert again["removed"] == []
    assert list(again["kept"]) == [second]
    assert first not in again["kept"]


def test_a_damaged_manifest_stops_it_until_it_is_given_up(place: Place) -> None:
    place.fill()
    bad, good = place.take(), place.take()
    place.damage_manifest(bad)
    done = place.call("snapshot", "prune", "--apply")
    assert done.code == 1
    assert f"{bad} is DAMAGED: it stays until it is removed by --remove {bad}" in done.err
    assert "no chunk was removed: " in done.err
    done = place.call("snapshot", "prune", "--remove", bad, "--apply")
    assert (done.code, done.err) == (0, "")
    assert ids(place) == [good]
    assert place.call("snapshot", "verify", good).code == 0


def test_removing_one_by_name_needs_no_rule_and_no_newest(place: Place) -> None:
    place.fill()
    taken = [place.take() for _ in range(6)]
    done = place.call("snapshot", "prune", "--remove", taken[2], "--apply")
    assert done.code == 0
    assert ids(place) == taken[:2] + taken[3:]
    done = place.call("snapshot", "prune", "--remove", "newest", "--apply")
    assert (done.code, done.out) == (2, "")
    assert "name it by its id" in done.err


@pytest.mark.parametrize("rule", ["yearly=1", "hourly", "4"])
def test_a_rule_that_is_none_is_refused(place: Place, rule: str) -> None:
    done = place.call("snapshot", "prune", "--keep", rule)
    assert (done.code, done.out) == (2, "")
    assert "newest=4,hourly=24,daily=7,weekly=8" in done.err
    assert done.err.count("\n") == 1


def test_the_rule_in_the_help_is_the_one_that_holds(place: Place) -> None:
    from blackstart.recovery.snapshots import Keep

    assert str(Keep()) in "".join(place.call("snapshot", "prune", "--help").out.split())
