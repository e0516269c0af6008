"""Tests of the embedded MongoDB: it starts, it keeps what it acknowledged, it leaves nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure

from blackstart.errors import ProcessError
from blackstart.process import ChildProcess
from blackstart.store import embedded, embedded_mongodb
from blackstart.store.metadata import connect

PARENT = """
import asyncio
from blackstart.store import embedded_mongodb
async def main():
    async with embedded_mongodb() as uri:
        print(uri, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's temporary folder, for this test."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def port_of(uri: str) -> int:
    return int(uri.rpartition("127.0.0.1:")[2].partition("/")[0])


def answers(uri: str) -> bool:
    with socket.socket() as sock:
        sock.settimeout(5)
        return sock.connect_ex(("127.0.0.1", port_of(uri))) == 0


async def test_it_serves_from_a_temporary_folder_and_leaves_nothing(temporary: Path) -> None:
    async with embedded_mongodb() as uri:
        assert len(list(temporary.iterdir())) == 1
        async with connect(f"{uri}&serverMonitoringMode=poll", "any") as store:
            await store.ping()
    assert not answers(uri)
    assert list(temporary.iterdir()) == []


async def test_nothing_is_left_when_what_it_was_started_for_fails(temporary: Path) -> None:
    with pytest.raises(RuntimeError, match="crash"):
        async with embedded_mongodb() as uri:
            raise RuntimeError("crash")
    assert not answers(uri)
    assert list(temporary.iterdir()) == []


async def test_nothing_is_left_when_its_parent_is_killed(
    temporary: Path, until: Callable[[Callable[[], bool]], Awaitable[None]]
) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    uri = (await parent.stdout.readline()).decode().strip()
    assert answers(uri)
    parent.kill()
    await parent.wait()
    await until(lambda: not list(temporary.iterdir()))
    assert not answers(uri)


async def test_starting_can_be_cancelled_and_leaves_nothing(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = asyncio.Event()

    async def never(child: ChildProcess, port: int) -> bool:
        started.set()
        return await asyncio.Event().wait()

    monkeypatch.setattr(embedded, "_listening", never)

    async def start() -> None:
        async with embedded_mongodb():
            raise AssertionError("it cannot have started")

    task = asyncio.create_task(start())
    await started.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert list(temporary.iterdir()) == []


async def test_acknowledged_writes_in_a_folder_survive_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = ChildProcess.start

    def start_without_grace(name: str, command: Sequence[str], **options: Any) -> ChildProcess:
        return start(name, command, **(options | {"grace_s": 0.0}))

    monkeypatch.setattr(ChildProcess, "start", start_without_grace)
    wanted = list(range(50))
    async with (
        embedded_mongodb(tmp_path / "data") as uri,
        connect(f"{uri}&serverMonitoringMode=poll", "kept") as store,
    ):
        for number in wanted:
            await store.database["numbers"].insert_one({"_id": number})
    async with (
        embedded_mongodb(tmp_path / "data") as uri,
        connect(f"{uri}&serverMonitoringMode=poll", "kept") as store,
    ):
        found = [raw["_id"] async for raw in store.database["numbers"].find()]
    assert sorted(found) == wanted


async def test_a_locked_one_lets_in_whoever_has_its_address_and_nobody_else(
    tmp_path: Path,
) -> None:
    for value in (1, 2):
        async with embedded_mongodb(tmp_path / "data", locked=True) as uri:
            async with connect(f"{uri}&serverMonitoringMode=poll", "kept") as store:
                await store.database["numbers"].insert_one({"_id": value})
                assert await store.database["numbers"].count_documents({}) == value
            open_uri = f"mongodb://127.0.0.1:{port_of(uri)}/?directConnection=true"
            async with AsyncMongoClient[dict[str, Any]](open_uri) as stranger:
                with pytest.raises(OperationFailure, match="requires authentication"):
                    await stranger["kept"]["numbers"].find_one()
                with pytest.raises(OperationFailure, match="requires authentication"):
                    await stranger.admin.command("createUser", "me", pwd="x" * 20, roles=["root"])
    assert (tmp_path / "data" / "password").stat().st_mode & 0o077 == 0


async def test_without_the_program_one_line_names_the_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ProcessError) as caught:
        async with embedded_mongodb():
            raise AssertionError("it cannot have started")
    assert "BLACKSTART_MONGODB_URI" in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_program_that_cannot_start_is_one_line_with_its_last_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, temporary: Path
) -> None:
    program = tmp_path / "broken"
    program.write_text("#!/bin/sh\necho first\necho no such library >&2\nexit 1\n")
    os.chmod(program, 0o755)
    monkeypatch.setattr(embedded, "_program", lambda: str(program))
    with pytest.raises(ProcessError) as caught:
        async with embedded_mongodb():
            raise AssertionError("it cannot have started")
    assert "no such library" in str(caught.value)
    assert "BLACKSTART_MONGODB_URI" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(temporary.iterdir()) == []
