"""The commit of a transaction that was held, and did not get to the database."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
from bson import Int64
from tests.guard.chaos.world import ADA, Fate, Process, World

from blackstart.guard.proxy.asked import Asked, Client, Passage
from blackstart.guard.requests import State
from blackstart.guard.rules import Command
from blackstart.wire import CommandError, Peer

IN = {"lsid": {"id": b"0" * 16}, "txnNumber": Int64(1), "autocommit": False}


async def ask(process: Process, body: dict[str, Any], database: str) -> Passage | None:
    client = Client(Peer(1, "127.0.0.1:1"), ADA, "", lambda: False)
    command = Command.of({**body, "$db": database, **IN})
    return await process.house.gate.admit(Asked(client, command))


async def test_a_commit_that_was_not_sent_did_not_run_and_is_held_anew(
    mongodb_uri: str, store: Any, tmp_path: Path
) -> None:
    database = store.database.name
    world = World(tmp_path, mongodb_uri, store.database.client, database, {})
    commit = {"commitTransaction": 1}
    async with world.process(Fate(Random(0))) as process:
        for number in range(2):
            start = {"startTransaction": True} if number == 0 else {}
            insert = {"insert": "x", "documents": [{"_id": number}], **start}
            assert await ask(process, insert, database) is None
        with pytest.raises(CommandError, match="held as request 1"):
            await ask(process, commit, "admin")
        await process.approve()
        passage = await ask(process, commit, "admin")
        assert passage is not None
        await passage.not_sent()
        with pytest.raises(CommandError, match="held as request 2"):
            await ask(process, commit, "admin")
    assert [each.state for each in world.requests()] == [State.NOT_EXECUTED, State.HELD]
