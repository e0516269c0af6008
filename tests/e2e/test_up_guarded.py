"""`blackstart up` with all safeguards: nobody gets past the guard, and nobody goes alone."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure
from pymongo.uri_parser import parse_uri

Client = MongoClient[dict[str, Any]]
HELD = {"_id": {"$in": [1, 2]}}
CHANGE = {"$set": {"metadata": {"schema": 2}}}


@contextmanager
def guarded(start: Any, folder: Path, **settings: str) -> Iterator[Any]:
    arguments = ("--data", str(folder / "data"), "--nodes", "1", "--workers", "0")
    more = {"BLACKSTART_SAFEGUARDS": "all", "BLACKSTART_GUARD_WAIT_S": "0", **settings}
    with start(folder / "tmp", *arguments, **more) as up:
        yield up


def say(up: Any, *words: str) -> subprocess.CompletedProcess[str]:
    """`blackstart guard WORDS` as the reviewer."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "blackstart.cli", "guard", *words],
        env=up.environment(BLACKSTART_GUARD_URI=up.addresses["guard"]["reviewer"]),
        capture_output=True,
        text=True,
        check=False,
    )


def direct_address(up: Any) -> str:
    """Where the database itself listens, as whoever looks at the machine's ports finds out."""
    for process in up.family:
        if "secantusd" in " ".join(process.cmdline()):
            words = process.cmdline()
            return f"127.0.0.1:{words[words.index('--port') + 1]}"
    raise AssertionError("there is no database")


@pytest.mark.slow
def test_a_dangerous_write_waits_for_the_reviewer_and_there_is_no_way_round(
    start: Any, tmp_path: Path, until: Any, commit: Any
) -> None:
    with guarded(start, tmp_path) as up:
        guard, first = up.addresses["guard"], people(up)
        assert up.addresses["mongodb_uri"] == guard["operator"]
        with Client(guard["operator"]) as client:
            notes = client["blackstart"]["notes"]
            for number in (1, 2):
                notes.insert_one({"_id": number, "metadata": {"tree": "t"}})
            with pytest.raises(OperationFailure, match="held as request 1"):
                notes.update_many(HELD, CHANGE)
            shown = say(up, "show", "1")
            assert "metadata.tree" in shown.stdout, shown.stderr
            approved = say(up, "approve", "1", "--reason", "these are notes", "--yes")
            assert approved.returncode == 0, approved.stderr
            assert notes.update_many(HELD, CHANGE).modified_count == 2
        with (
            Client(f"mongodb://{direct_address(up)}/") as stranger,
            pytest.raises(OperationFailure, match="requires authentication"),
        ):
            stranger["blackstart"]["notes"].find_one()
        # The services come in by their own account, and the platform works.
        up.create_site("docs", commit({"index.html": b"hello"}))
        assert [site["name"] for site in up.api("GET", "/sites")] == ["docs"]
        up.end(signal.SIGTERM)
        until(up.is_all_gone, "all processes end")
    with guarded(start, tmp_path) as again:
        assert people(again) == first
        with Client(again.addresses["guard"]["operator"]) as client:
            assert client["blackstart"]["notes"].count_documents({"metadata.schema": 2}) == 2


def people(up: Any) -> list[tuple[str, str]]:
    """The logins and their passwords: the port may be another one each time."""
    found = []
    for name in ("operator", "reviewer"):
        parsed = parse_uri(up.addresses["guard"][name])
        found.append((parsed["username"], parsed["password"]))
    return found


@pytest.mark.slow
def test_without_those_safeguards_there_is_no_guard(start: Any, tmp_path: Path) -> None:
    arguments = ("--nodes", "1", "--workers", "0")
    with start(tmp_path, *arguments, BLACKSTART_SAFEGUARDS="honest-origin") as up:
        assert up.addresses["guard"] is None
        with Client(up.addresses["mongodb_uri"]) as client:
            assert client["blackstart"]["notes"].find_one() is None


@pytest.mark.slow
def test_a_guarded_run_that_is_thrown_away_leaves_nothing(
    start: Any, tmp_path: Path, until: Any
) -> None:
    arguments = ("--nodes", "1", "--workers", "0")
    with start(tmp_path, *arguments, BLACKSTART_SAFEGUARDS="audit-trail") as up:
        up.end(signal.SIGKILL)
        until(up.is_all_gone, "all processes end")
        until(lambda: not list(tmp_path.iterdir()), "the folders are gone")
