"""`blackstart channel`: what the guard told, as people read it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from blackstart.guard.channel import ChannelFile
from blackstart.guard.guardroom import Places

Call = Callable[..., Any]
AT = datetime(2017, 2, 2, 15, 50, tzinfo=UTC)
HELD = """request 7: ada wants to run update of all documents that match
  update on blackstart.deploys: 10 documents (5.0 % of 200)
    ! metadata is replaced whole: metadata.tree would be lost, in 10 of 10 documents looked at"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ChannelFile:
    monkeypatch.setenv("BLACKSTART_GUARD_DATA", str(tmp_path / "guard"))
    file = ChannelFile(Places(tmp_path / "guard").channel)
    file.add(AT, HELD, 7)
    file.add(AT + timedelta(days=1), "request 7 rejected by bob: \x1b[2Jno", 7)
    return file


def test_what_was_told_is_shown_by_day_in_80_columns(call: Call, file: ChannelFile) -> None:
    done = call("channel")
    assert (done.code, done.err) == (0, "")
    lines = [line.rstrip() for line in done.out.splitlines()]
    assert lines == [
        "2017-02-02 (UTC)",
        "15:50:00 request 7: ada wants to run update of all documents that match",
        "           update on blackstart.deploys: 10 documents (5.0 % of 200)",
        "             ! metadata is replaced whole: metadata.tree would be lost, in 10 of",
        "         10 documents looked at",
        "2017-02-03 (UTC)",
        "15:50:00 request 7 rejected by bob: \N{REPLACEMENT CHARACTER}[2Jno",
    ]


def test_the_newest_lines_alone_are_shown_when_few_are_wanted(
    call: Call, file: ChannelFile
) -> None:
    rows = [json.loads(line) for line in call("channel", "--json", "--limit=1").out.splitlines()]
    assert [(row["number"], row["request"]) for row in rows] == [(2, 7)]


def test_new_lines_are_followed(file: ChannelFile) -> None:
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "blackstart.cli", "channel", "--follow", "--json"],
        stdout=subprocess.PIPE,
        text=True,
    ) as following:
        assert following.stdout is not None
        old = [json.loads(following.stdout.readline())["number"] for _ in range(2)]
        file.add(AT, "request 8 approved by bob: agreed", 8)
        new = json.loads(following.stdout.readline())
        following.terminate()
    assert (old, new["number"], following.returncode) == ([1, 2], 3, 143)


def test_where_no_guard_was_nothing_is_made(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = call("channel")
    assert (done.code, "no guard was at" in done.err) == (2, True)
    assert list(tmp_path.iterdir()) == []
