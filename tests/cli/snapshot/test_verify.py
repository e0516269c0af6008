"""`blackstart snapshot verify`: three verdicts, each with its exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.snapshot.conftest import Place


def chunk_files(place: Place) -> list[Path]:
    return sorted(path for path in (place.folder / "snapshots/chunks").rglob("*") if path.is_file())


def test_a_whole_snapshot_is_ok(place: Place) -> None:
    place.fill()
    taken = place.take()
    done = place.call("snapshot", "verify", taken)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"{taken}  ok: 3 documents in 1 chunk, ")
    assert place.call("snapshot", "verify", "newest").out == done.out


def test_a_damaged_chunk_is_named_in_80_columns_and_ends_with_1(place: Place) -> None:
    place.fill()
    first = place.take()
    place.fill_more(3, 1500)
    second = place.take()
    (shared, *_) = [path for path in chunk_files(place) if path.stat().st_size]
    shared.write_bytes(shared.read_bytes()[:-3])
    done = place.call("snapshot", "verify", "--all")
    assert done.code == 1
    assert f"{second}  " in done.out
    assert f"{first}  " in done.out
    assert "DAMAGED" in done.out
    assert "collection deploys: truncated: chunk\n" in done.err
    assert shared.name.partition(".")[0] in done.err
    assert max(len(line) for line in (done.out + done.err).splitlines()) <= 80
    rows = json.loads(place.call("snapshot", "verify", "--all", "--json").out)
    damages = [damage for row in rows for damage in row["damages"]]
    assert {(each["chunk"], each["kind"]) for each in damages} == {(shared.name, "truncated")}


def test_a_damaged_manifest_is_among_all(place: Place) -> None:
    place.fill()
    good, bad = place.take(), place.take()
    place.damage_manifest(bad)
    done = place.call("snapshot", "verify", "--all")
    assert done.code == 1
    assert f"{good}  ok" in done.out
    assert f"{bad}  DAMAGED" in done.out
    assert "manifest: the manifest of snapshot" in done.err
    assert place.call("snapshot", "verify", good).code == 0


def test_what_cannot_be_verified_ends_with_3(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    done = place.call("snapshot", "verify", "--all")
    assert (done.code, done.out) == (3, "")
    assert "nothing was verified" in done.err
    place.fill()
    monkeypatch.setenv("BLACKSTART_SNAPSHOT_KEY", "ab" * 32)
    taken = place.take()
    monkeypatch.delenv("BLACKSTART_SNAPSHOT_KEY")
    done = place.call("snapshot", "verify", taken)
    assert (done.code, done.out) == (3, f"{taken}  COULD NOT VERIFY\n")
    assert "set BLACKSTART_SNAPSHOT_KEY" in done.err
    assert place.json("verify", "newest")[0]["state"] == "could not verify"


def test_an_empty_snapshot_is_said_to_be_empty(place: Place) -> None:
    place.take()
    done = place.call("snapshot", "verify", "newest")
    assert done.code == 0
    assert "EMPTY" in done.err


@pytest.mark.parametrize("arguments", [[], ["newest", "--all"]])
def test_what_to_verify_is_said_once(place: Place, arguments: list[str]) -> None:
    done = place.call("snapshot", "verify", *arguments)
    assert (done.code, done.out) == (2, "")
    assert "--all" in done.err
