"""A mounted snapshot, on a real socket, and PyMongo connected to it."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from tests.conftest import ManualClock
from tests.recovery.mount.fake import FakeSnapshot

from blackstart.clock import Clock
from blackstart.recovery.mount import Mount
from blackstart.seed import Seed

Client = AsyncMongoClient[dict[str, Any]]


@dataclass
class Mounted:
    """A snapshot, its server, and a client of that."""

    snapshot: Any
    mount: Mount
    clock: Any
    uri: str
    client: Client

    @property
    def deploys(self) -> Any:
        return self.client["blackstart"]["deploys"]


def deploys(count: int) -> list[dict[str, Any]]:
    return [
        {
            "_id": f"{number:024x}",
            "site_id": f"site-{number % 7}",
            "number": number,
            "state": "ready" if number % 3 else "error",
            "metadata": {"tree": f"tree-{number}", "file_count": number % 5},
        }
        for number in range(count)
    ]


@asynccontextmanager
async def mounted_on(
    snapshot: Any, clock: Clock, database: str = "blackstart"
) -> AsyncIterator[Mounted]:
    mount = Mount(snapshot, database, clock=clock, seed=Seed(2))
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    await mount.start(sock)
    uri = f"mongodb://127.0.0.1:{port}/?directConnection=true&serverMonitoringMode=poll"
    try:
        async with Client(uri, tz_aware=True) as client:
            yield Mounted(snapshot, mount, clock, uri, client)
    finally:
        await mount.stop()


@pytest.fixture
async def mount_of(manual_clock: ManualClock) -> AsyncIterator[Callable[..., Any]]:
    """Mounts a snapshot of the collections that are given."""
    async with AsyncExitStack() as stack:

        async def make(**collections: Any) -> Mounted:
            snapshot = FakeSnapshot(**collections)
            return await stack.enter_async_context(mounted_on(snapshot, manual_clock))

        yield make


@pytest.fixture
async def mounted(mount_of: Callable[..., Any]) -> Mounted:
    """A thousand deploys and three sites."""
    sites = [{"_id": f"site-{number}", "name": f"name-{number}"} for number in range(3)]
    found: Mounted = await mount_of(deploys=deploys(1_000), sites=sites)
    return found
