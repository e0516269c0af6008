"""Collections that are made up as they are read, for a mount to serve: nothing has to be filled."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient

from blackstart.clock import WallClock
from blackstart.recovery.mount import Mount, Source
from blackstart.seed import Seed

Client = AsyncMongoClient[dict[str, Any]]
Make = Callable[[int], dict[str, Any]]
"""The document of a number; their `_id`s grow with it."""


class Made:
    """What a mount asks of a snapshot: for each collection how many documents, and which."""

    def __init__(self, collections: Mapping[str, tuple[int, Make]]) -> None:
        self._collections = collections

    def collections(self) -> list[str]:
        return sorted(self._collections)

    def count(self, collection: str) -> int:
        return self._collections[collection][0]

    def is_ordered(self, collection: str) -> bool:
        return True

    def indexes(self, collection: str) -> list[dict[str, Any]]:
        return [{"v": 2, "key": {"_id": 1}, "name": "_id_"}]

    def options(self, collection: str) -> dict[str, Any]:
        return {}

    def raw_bytes(self, collection: str) -> int:
        return 0

    async def get(self, collection: str, _id: Any) -> RawBSONDocument | None:
        raise NotImplementedError("these are only read from end to end")

    async def scan(self, collection: str, *, start: Any = None) -> AsyncIterator[RawBSONDocument]:
        count, make = self._collections[collection]
        for number in range(count):
            yield RawBSONDocument(bson.encode(make(number)))


@asynccontextmanager
async def served(source: Source, database: str) -> AsyncIterator[str]:
    """The address of a mount of a source."""
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    mount = Mount(source, database, clock=WallClock(), seed=Seed(1))
    await mount.start(sock)
    try:
        yield f"mongodb://127.0.0.1:{port}/?directConnection=true"
    finally:
        await mount.stop()
