"""The runbooks say what is so: their commands are run, one after the other, as a reader would.

A block of `sh` is what the reader types, and the block of `text` after it what they see, on stdout
or stderr; `...` stands for what may be anything. Blocks that are indented are not run.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.conftest import ManualClock

from blackstart.recovery.snapshots import Snapshots
from blackstart.seed import Seed
from blackstart.store import ObjectStore
from blackstart.store.metadata import connect

RUNBOOKS = Path(__file__).parents[2] / "docs" / "runbooks"
PAGES = sorted(path.name for path in RUNBOOKS.glob("*.md"))
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LIMIT_S = 150
"""For a whole page, on a busy machine; a mount that is not ended would go on for ever."""
PATIENCE_S = 10
DATABASE = "blackstart"
SITE = "58936a8f1b2c3d4e5f607181"
DEPLOYS = [f"58936a8f1b2c3d4e5f60718{number}" for number in range(2, 9)]
TAKEN = (datetime(2017, 2, 2, 10, 3, tzinfo=UTC), datetime(2017, 2, 2, 17, 30, tzinfo=UTC))


def steps(page: str) -> list[tuple[str, str]]:
    """What is typed, and what is then seen; blank where the page does not tell."""
    found: list[tuple[str, str]] = []
    for kind, text in BLOCK.findall((RUNBOOKS / page).read_text()):
        if kind == "sh":
            found.append((text, ""))
        else:
            assert found, "a page cannot promise before it has said what to type"
            assert not found[-1][1], "a command has one output"
            found[-1] = (found[-1][0], text)
    return found


def seen(promised: str) -> re.Pattern[str]:
    """What matches the output that a page promises."""
    lines = []
    for line in promised.rstrip("\n").split("\n"):
        if line == "...":
            lines.append(r"(?:.*\n)*")
        else:
            parts = [re.escape(part) for part in re.split(r"\.{3,}", line.rstrip())]
            lines.append(".*".join(parts) + r"[ ]*\n")
    return re.compile("".join(lines))


async def _break_a_fleet(uri: str, folder: Path) -> None:
    """Two sites and seven deploys, a snapshot, the bad migration, and a snapshot of the damage."""
    async with connect(uri, DATABASE) as store:
        database = store.database
        await database.client.drop_database(DATABASE)
        await database["sites"].insert_many(
            [{"_id": SITE, "name": "docs", "plan": "pro"}, {"_id": "other", "name": "other"}]
        )
        await database["deploys"].insert_many(_deploy(number) for number in range(7))
        clock = ManualClock()
        snapshots = Snapshots(ObjectStore.open(str(folder)))
        for at in TAKEN:
            clock.now_s = at.timestamp()
            await snapshots.take(database, clock, Seed(2))
            await database["deploys"].update_many(
                {"state": "ready"}, {"$set": {"metadata": {"migrated": True}}}
            )


def _deploy(number: int) -> dict[str, Any]:
    return {
        "_id": DEPLOYS[number],
        "site_id": SITE if number < 3 else "other",
        "number": number + 1,
        "state": "ready" if number < 6 else "error",
        "metadata": {
            "tree": "abcdefg"[number] * 64,
            "completed_at": datetime(2017, 2, 1, 9 + number, tzinfo=UTC),
            "file_count": 3,
        },
    }


async def _drop(uri: str) -> None:
    async with connect(uri, DATABASE) as store:
        await store.database.client.drop_database(DATABASE)


@pytest.fixture
def desk(mongodb_uri: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of somebody who has followed a page's first step."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, start in (("blackstart", "-P -m blackstart.cli"), ("python3", "")):
        (commands / name).write_text(f'#!/bin/sh\nexec {sys.executable} {start} "$@"\n')
        (commands / name).chmod(0o755)
    asyncio.run(_break_a_fleet(mongodb_uri, tmp_path / "bucket"))
    kept = {key: value for key, value in os.environ.items() if not key.startswith("BLACKSTART_")}
    yield kept | {
        "BLACKSTART_MONGODB_URI": mongodb_uri,
        "BLACKSTART_OBJECT_STORE": str(tmp_path / "bucket"),
        "COLUMNS": "80",
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        # As in a terminal, where what is said on stderr comes in its place.
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8",
    }
    asyncio.run(_drop(mongodb_uri))


def run(blocks: list[str], environment: dict[str, str], folder: Path) -> list[str]:
    """What each block printed. All of them run in one shell, and nothing outlives it."""
    script = "exec 2>&1\n" + "".join(f"{block}printf '\\0'\n" for block in blocks)
    # Into a file: what the page leaves running would hold a pipe open.
    printed = folder / "printed"
    with (
        printed.open("wb") as output,
        subprocess.Popen(
            ["bash", "-c", script],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            start_new_session=True,
        ) as shell,
    ):
        try:
            shell.wait(LIMIT_S)
            _, alive = psutil.wait_procs(_of_session(shell.pid), timeout=PATIENCE_S)
            assert not alive, f"the page leaves {alive} running"
        finally:
            for process in _of_session(shell.pid):
                process.kill()
    return printed.read_text(encoding="utf-8").split("\0")[:-1]


def _of_session(leader: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


def check(page: str, environment: dict[str, str], folder: Path, *, mongosh: bool) -> None:
    told = [step for step in steps(page) if mongosh or not step[0].startswith("mongosh ")]
    printed = run([typed for typed, _ in told], environment, folder)
    assert len(printed) == len(told)
    for (typed, promised), output in zip(told, printed, strict=True):
        text = output if output.endswith("\n") or not output else f"{output}\n"
        if promised:
            assert seen(promised).fullmatch(text), f"{page}:\n{typed}\nprinted:\n{output}"
        assert "error:" not in text, output


@pytest.mark.parametrize("page", PAGES)
def test_what_a_runbook_promises_is_what_happens(
    page: str, desk: dict[str, str], tmp_path: Path
) -> None:
    check(page, desk, tmp_path, mongosh=False)


@pytest.mark.mongosh
def test_the_runbook_s_line_for_mongosh_works(desk: dict[str, str], tmp_path: Path) -> None:
    folder = os.environ.get("BLACKSTART_MONGOSH")
    if not folder:
        pytest.skip("BLACKSTART_MONGOSH names no folder in which npm has installed mongosh")
    desk["PATH"] += f"{os.pathsep}{folder}/node_modules/.bin"
    check("read-one-document.md", desk, tmp_path, mongosh=True)


def test_a_page_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.docs.test_runbooks.LIMIT_S", 0.5)
    with pytest.raises(subprocess.TimeoutExpired):
        run(["sleep 600 & echo $! > pid\nwait\n"], dict(os.environ), tmp_path)
    pid = int((tmp_path / "pid").read_text())
    assert (
        psutil.wait_procs([p for p in psutil.process_iter() if p.pid == pid], PATIENCE_S)[1] == []
    )


def test_a_promise_that_is_not_kept_is_noticed() -> None:
    assert seen("a ... c\n...\nd\n").fullmatch("a b c\nx\ny\nd  \n")
    assert seen("...\nd\n").fullmatch("d\n")
    assert not seen("a ... c\n").fullmatch("a b c\nmore\n")
    assert not seen("a.c\n").fullmatch("abc\n")
