"""`blackstart snapshot take`, `list` and `show`: what they print, and what they say loudly."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.cli.snapshot.conftest import Place

ID = re.compile(r"\d{8}T\d{9}Z-[0-9a-f]{6}\n")


def test_the_id_is_alone_on_stdout(place: Place) -> None:
    place.fill()
    done = place.call("snapshot", "take")
    assert done.code == 0
    assert ID.fullmatch(done.out)
    assert "3 documents in 1 collection, " in done.err


def test_json_says_what_was_taken(place: Place) -> None:
    place.fill()
    taken = json.loads(place.call("snapshot", "take", "--json").out)
    assert (taken["documents"], taken["empty"], taken["consistent"]) == (3, False, True)
    assert place.json("list") == [taken | {"damaged": ""}]
    shown = place.json("show", taken["id"])
    assert shown.pop("collections")["deploys"] == {
        "documents": 3,
        "chunks": 1,
        "patches": 0,
        "raw_bytes": taken["raw_bytes"],
        "indexes": ["_id_"],
    }
    assert shown == taken


def test_a_snapshot_of_nothing_is_kept_and_fails_loudly(place: Place) -> None:
    done = place.call("snapshot", "take")
    assert done.code == 1
    assert ID.fullmatch(done.out)
    assert "EMPTY" in done.err
    assert place.json("list")[0]["empty"]
    assert "EMPTY" in place.call("snapshot", "list").out
    assert "EMPTY" in place.call("snapshot", "show", "newest").err
    assert place.call("snapshot", "take", "--allow-empty").code == 0


def test_a_damaged_manifest_is_listed_loudly_and_the_others_all_the_same(place: Place) -> None:
    place.fill()
    bad, good = place.take(), place.take()
    place.damage_manifest(bad)
    done = place.call("snapshot", "list")
    assert done.code == 1
    assert good in done.out
    assert bad not in done.out
    assert f"{bad} is DAMAGED: " in done.err
    rows = {row["id"]: row["damaged"] for row in place.json("list")}
    assert rows[good] == ""
    assert "digest" in rows[bad]
    assert place.call("snapshot", "show", bad).code == 1


def test_a_list_of_nothing_says_how_to_fill_it(place: Place) -> None:
    done = place.call("snapshot", "list")
    assert (done.code, done.out) == (0, "")
    assert "snapshot take" in done.err
    assert place.json("list") == []


def test_what_is_printed_fits_in_80_columns(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.fill(2000)
    place.database(lambda database: database["x" * 70].insert_one({"_id": 1}))
    monkeypatch.setenv("BLACKSTART_SNAPSHOT_KEY", "ab" * 32)
    place.take()
    monkeypatch.setenv("BLACKSTART_DATABASE", "another-one")
    for arguments in (["list"], ["show", "2"], *(["--help"], ["take", "--help"])):
        done = place.call("snapshot", *arguments)
        assert max(len(line) for line in done.out.splitlines()) <= 80, done.out
    said = re.sub(r"\s", "", place.call("snapshot", "list").out)
    assert "sealed,oftest-cli-snapshots" in said


def test_a_snapshot_is_named_by_its_beginning_or_by_newest(place: Place) -> None:
    place.fill()
    first, second = place.take(), place.take()
    assert place.json("show", first)["id"] == first
    assert place.json("show", second[:-1])["id"] == second
    assert place.json("show", "newest")["id"] == second
    done = place.call("snapshot", "show", first[:4])
    assert (done.code, done.out) == (2, "")
    assert "2 snapshots begin with" in done.err


def test_the_newest_is_that_of_the_database_that_is_named(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.fill()
    mine = place.take()
    monkeypatch.setenv("BLACKSTART_DATABASE", "another-one")
    place.take()
    monkeypatch.setenv("BLACKSTART_DATABASE", "test-cli-snapshots")
    assert place.json("show", "newest")["id"] == mine
    monkeypatch.setenv("BLACKSTART_DATABASE", "a-third")
    assert "no snapshot of a-third" in place.call("snapshot", "show", "newest").err


def test_a_sealed_snapshot_is_listed_without_its_key_and_not_shown(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.fill()
    monkeypatch.setenv("BLACKSTART_SNAPSHOT_KEY", "ab" * 32)
    place.take()
    monkeypatch.delenv("BLACKSTART_SNAPSHOT_KEY")
    assert place.json("list")[0]["sealed"]
    done = place.call("snapshot", "show", "newest")
    assert (done.code, done.out) == (2, "")
    assert "set BLACKSTART_SNAPSHOT_KEY" in done.err


@pytest.mark.parametrize(
    ("name", "value", "arguments", "said"),
    [
        ("MONGODB_URI", "", ["take"], "set BLACKSTART_MONGODB_URI"),
        ("OBJECT_STORE", "", ["take"], "set BLACKSTART_OBJECT_STORE"),
        ("OBJECT_STORE", "", ["list"], "set BLACKSTART_OBJECT_STORE"),
        ("OBJECT_STORE", "memory://", ["list"], "one process only"),
        ("SNAPSHOT_KEY", "hush", ["list"], "not a key of 32 bytes"),
        ("DATABASE", "a/b", ["list"], "BLACKSTART_DATABASE"),
    ],
)
def test_a_setting_that_is_missing_or_wrong_is_named(
    place: Place, monkeypatch: pytest.MonkeyPatch, name: str, value: str, arguments: Any, said: str
) -> None:
    monkeypatch.setenv(f"BLACKSTART_{name}", value)
    done = place.call("snapshot", *arguments)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert "hush" not in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [["list"], ["show", "newest"], ["verify", "--all"], ["restore", "newest"], ["prune"]],
)
def test_an_object_store_that_is_not_there_is_told_and_not_made(
    place: Place, arguments: list[str]
) -> None:
    place.folder.rmdir()
    done = place.call("snapshot", *arguments)
    assert (done.code, done.out) == (2, "")
    assert f"there is no object store at {place.folder}" in done.err
    assert done.err.count("\n") == 1
    assert not place.folder.exists()


def test_the_first_snapshot_makes_the_object_store(place: Place) -> None:
    place.folder.rmdir()
    place.take()
    assert len(place.json("list")) == 1


@pytest.mark.parametrize("arguments", [["show", "no-such"], ["show", "20170202T000000000Z-000000"]])
def test_a_snapshot_that_is_not_there_is_one_line(place: Place, arguments: list[str]) -> None:
    done = place.call("snapshot", *arguments)
    assert (done.code, done.out) == (1, "")
    assert "no snapshot" in done.err
    assert done.err.count("\n") == 1
