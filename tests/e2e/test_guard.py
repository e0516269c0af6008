"""A guard as real processes, before a database that lets in nobody else."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure
from tests.cli.guard.conftest import PASSWORD, PATIENCE_S, Guard, running_guard
from tests.e2e.conftest import environment

from blackstart.store.embedded import embedded_mongodb

BAD = {"$set": {"metadata": {"schema": 3}}}


@dataclass(frozen=True)
class Place:
    """A database behind a guard, and those who come to it."""

    guard: Guard
    uri: str
    temporary: Path

    async def says(self, login: str, *words: str, code: int = 0) -> str:
        """What the command line answers to somebody."""
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-P", "-m", "blackstart.cli", *words],
            env=environment(
                self.temporary,
                COLUMNS="80",
                BLACKSTART_GUARD_URI=self.guard.address,
                BLACKSTART_GUARD_LOGIN=login,
                BLACKSTART_GUARD_PASSWORD=PASSWORD,
                BLACKSTART_GUARD_DATA=str(self.guard.folder),
            ),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    async def run(self, line: str) -> None:
        """A command line as it was printed, on the machine of the guard."""
        done = await asyncio.to_thread(
            subprocess.run,
            ["sh", "-c", line],
            cwd=self.temporary,
            env=environment(
                self.temporary,
                PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                BLACKSTART_MONGODB_URI=self.uri,
                BLACKSTART_OBJECT_STORE=str(self.guard.folder / "objects"),
            ),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    async def update(self) -> int:
        """Ada's bad migration; how many documents it changed."""

        def run() -> int:
            with MongoClient[dict[str, Any]](self.guard.uri("ada")) as client:
                deploys = client["blackstart"]["deploys"]
                return int(deploys.update_many({"number": {"$lt": 5}}, BAD).modified_count)

        return await asyncio.to_thread(run)

    async def held(self) -> str:
        """The number of the request that waits, when it is there."""

        def look() -> str:
            with MongoClient[dict[str, Any]](self.guard.uri("bob")) as client:
                while not (found := client.admin.command("guardRequests", 1)["requests"]):
                    pass
                return str(found[0]["number"])

        return await asyncio.to_thread(look)

    def migrated(self) -> int:
        with MongoClient[dict[str, Any]](self.uri) as straight:
            return straight["blackstart"]["deploys"].count_documents({"metadata.schema": 3})


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    (tmp_path / "guard").mkdir()
    async with embedded_mongodb(tmp_path / "mongodb", locked=True) as uri:
        with MongoClient[dict[str, Any]](uri) as straight:
            straight["blackstart"]["deploys"].insert_many(
                {"_id": f"d{number}", "number": number, "metadata": {"tree": "t"}}
                for number in range(20)
            )
        with running_guard(tmp_path / "guard", uri) as guard:
            yield Place(guard, uri, tmp_path)


async def test_what_a_second_person_approves_runs_once_and_what_he_rejects_never(
    place: Place,
) -> None:
    with (
        MongoClient[dict[str, Any]](place.uri.replace("@", "x@")) as round_it,
        pytest.raises(OperationFailure, match="authentication failed"),
    ):
        round_it["blackstart"]["deploys"].find_one()

    running = asyncio.create_task(place.update())
    number = await place.held()
    await place.says("bob", "guard", "reject", number, "--reason", "it drops the pointer")
    with pytest.raises(OperationFailure, match="it drops the pointer") as refused:
        await running
    assert refused.value.code == 13
    assert place.migrated() == 0

    running = asyncio.create_task(place.update())
    number = await place.held()
    shown = await place.says("bob", "guard", "approve", number, "--yes", "--reason", "agreed")
    assert "FIELDS WOULD BE LOST" in shown
    assert await running == 5
    assert place.migrated() == 5
    trail = await place.says("bob", "audit", "show", "--request", number, "--json")
    lines = [json.loads(line) for line in trail.splitlines()]
    assert [line["action"] for line in lines] == [
        "write.held",
        "request.said",
        "write.sent",
        "write.ended",
    ]
    assert lines[-1]["state"] == "executed"
    assert lines[2]["undo"] in await place.says("bob", "guard", "show", number)
    assert "the audit trail is whole" in await place.says("bob", "audit", "verify")
    await place.run(f"{lines[2]['undo']} --yes")
    assert place.migrated() == 0
