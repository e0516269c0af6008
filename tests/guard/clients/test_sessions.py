"""Real clients, unmodified: a session gives the same with and without the guard.

Each is run twice on an empty database. Through the guard its writes to several
documents are held, and approved by somebody else; nothing of that shows in the results.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient, MongoClient
from tests.guard.clients.conftest import Reviewed, Run
from tests.guard.clients.pymongo_session import session

HERE = Path(__file__).parent
Installed = Callable[[str, str], Path]
Session = Callable[[str], Awaitable[dict[str, Any]]]


async def both(reviewed: Reviewed, store: Any, told: Session) -> dict[str, Any]:
    """What a session gave; it is the same both times, and some of it was held."""
    results = []
    for uri in (reviewed.direct, reviewed.uri):
        for name in await store.database.list_collection_names():
            await store.database.drop_collection(name)
        results.append(await told(uri))
    direct, through = results
    for title, result in direct.items():
        assert through[title] == result, title
    assert through.keys() == direct.keys()
    assert len(reviewed.saved) > 3
    return direct


async def test_pymongo(reviewed: Reviewed, store: Any) -> None:
    async def told(uri: str) -> dict[str, Any]:
        async with AsyncMongoClient[dict[str, Any]](uri, retryWrites=False) as client:
            return await session(client, store.database.name)

    results = await both(reviewed, store, told)
    codes = {title: results[title][1] for title in ("twice", "closed", "too slow", "conflict")}
    assert codes == {"twice": 11000, "closed": 43, "too slow": 50, "conflict": 112}
    assert results["no transaction"][1] == 251
    assert results["abort"] == (2, 0)
    assert results["commit"] == (2, 2)
    assert [each["operationType"] for each in results["change stream"]] == [
        *("insert", "update", "delete")
    ]


async def test_the_plain_pymongo_with_compression(reviewed: Reviewed, store: Any) -> None:
    def blocking(uri: str) -> dict[str, Any]:
        options = {"compressors": "zlib", "retryWrites": False}
        with MongoClient[dict[str, Any]](uri, **options) as client:
            return asyncio.run(session(client, store.database.name))

    await both(reviewed, store, lambda uri: asyncio.to_thread(blocking, uri))


@pytest.mark.node_driver
@pytest.mark.parametrize("options", [{}, {"compressors": ["zlib"], "retryWrites": False}])
async def test_the_driver_for_node(
    reviewed: Reviewed, store: Any, installed: Installed, run: Run, options: dict[str, Any]
) -> None:
    folder = installed("BLACKSTART_NODE_DRIVER", "mongodb")

    async def told(uri: str) -> dict[str, Any]:
        given = (uri, store.database.name, json.dumps(options))
        found: dict[str, Any] = json.loads(await run(folder, "node", HERE / "session.cjs", *given))
        return found

    results = await both(reviewed, store, told)
    codes = {each["code"] for each in results.values() if isinstance(each, dict) and "code" in each}
    assert {11000, 43, 50, 112, 251} <= codes
    assert len(results["batches"]) > 200
    assert results["commit two"] == [2, 1]
    assert results["change stream"][-1] == "insert"


@pytest.mark.mongosh
async def test_mongosh(reviewed: Reviewed, store: Any, installed: Installed, run: Run) -> None:
    folder = installed("BLACKSTART_MONGOSH", "mongosh")
    shell = folder / "node_modules" / ".bin" / "mongosh"

    async def told(uri: str) -> dict[str, Any]:
        start, _, options = uri.partition("?")
        named = f"{start}{store.database.name}?authSource=admin&{options}"
        quiet = ("--quiet", "--norc")
        printed = await run(folder, shell, *quiet, named, HERE / "session.mongosh.js")
        found: dict[str, Any] = json.loads(printed.splitlines()[-1])
        return found

    results = await both(reviewed, store, told)
    assert results["insert twice"]["code"] == 11000
    assert results["unknown cursor"]["code"] == 43
    assert results["transaction"] == [2, 0, 2, {"_id": 701}]
    assert results["change stream"] == [["insert", {"_id": 1}], ["delete", {"_id": 1}]]
    assert results["drop"] is True
