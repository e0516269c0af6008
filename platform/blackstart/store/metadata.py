"""The metadata store: one door to MongoDB, behind which every query has a name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from blackstart.errors import DatabaseError
from blackstart.store.address import no_address
from blackstart.store.builds import Builds
from blackstart.store.deploys import Deploys
from blackstart.store.hooks import BuildHooks
from blackstart.store.purges import PurgeLogInMongo
from blackstart.store.sites import Sites
from blackstart.store.tokens import Tokens

CONNECT_TIMEOUT_MS = 5_000
CLOSE_TIMEOUT_S = 1.0


class MetadataStore:
    """Sites, deploys, builds, hooks, tokens and purges in one MongoDB database."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]]) -> None:
        self.database = database
        self.sites = Sites(database["sites"])
        self.deploys = Deploys(database["deploys"], database["manifests"])
        self.builds = Builds(database["builds"])
        self.hooks = BuildHooks(database["build_hooks"])
        self.tokens = Tokens(database["tokens"])
        self.purges = PurgeLogInMongo(database["purges"])

    async def create_indexes(self) -> None:
        """Make the indexes the queries need; those that exist stay."""
        await self.sites.create_indexes()
        await self.deploys.create_indexes()
        await self.builds.create_indexes()
        await self.hooks.create_indexes()
        await self.tokens.create_indexes()

    async def ping(self) -> None:
        """Raises: DatabaseError when MongoDB does not answer."""
        try:
            await self.database.command("ping")
        except PyMongoError as error:
            # The driver goes on with its timeouts and its picture of the topology.
            reason = str(error).splitlines()[0].partition(" (configured timeouts")[0][:160]
            raise DatabaseError(
                f"MongoDB does not answer: {reason}",
                hint="check BLACKSTART_MONGODB_URI and that the server runs",
            ) from error

    async def drop(self) -> None:
        """Remove the whole database. Raises: DatabaseError."""
        try:
            await self.database.client.drop_database(self.database.name)
        except PyMongoError as error:
            raise DatabaseError(f"cannot drop database {self.database.name}") from error


@asynccontextmanager
async def connect(uri: str, database: str) -> AsyncIterator[MetadataStore]:
    """A metadata store on the server at `uri`, closed at the end.

    Raises: DatabaseError when the URI is malformed or nobody answers within 5 s.
    """
    try:
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
            uri,
            tz_aware=True,
            serverSelectionTimeoutMS=CONNECT_TIMEOUT_MS,
            connectTimeoutMS=CONNECT_TIMEOUT_MS,
            # No socketTimeoutMS: with one the driver waits by asyncio.wait_for, which on Python
            # 3.11 can lose a cancellation, and Ctrl-C with it.
            appname="blackstart",
        )
    except (PyMongoError, ValueError) as error:
        raise no_address(uri, error) from error
    try:
        store = MetadataStore(client[database])
        await store.ping()
        yield store
    finally:
        # A server that is gone cannot be told goodbye; that is no reason to wait for it.
        with suppress(TimeoutError):
            await asyncio.wait_for(client.close(), CLOSE_TIMEOUT_S)
