"""The control plane as a server, put together from its settings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from pymongo.errors import PyMongoError

from blackstart.clock import WallClock
from blackstart.control.api import Desk
from blackstart.control.app import control_app
from blackstart.control.builds import BuildService
from blackstart.control.publish import Publisher
from blackstart.control.purge import NodePurge
from blackstart.errors import DatabaseError
from blackstart.events import log_events
from blackstart.seed import Seed
from blackstart.settings import Settings
from blackstart.store import MetadataStore
from blackstart.store.metadata import connect


@asynccontextmanager
async def control_service(settings: Settings) -> AsyncIterator[FastAPI]:
    """The application, with the indexes made that its queries need.

    Raises: UsageError for settings that are missing; DatabaseError.
    """
    safeguards = settings.switches()
    events = log_events("control")
    clock = WallClock()
    seed = Seed.from_entropy()
    uri = settings.needed_mongodb_uri()
    async with node_purge(settings) as purge, connect(uri, settings.database) as store:
        await _create_indexes(store)
        publisher = Publisher(store, purge, clock=clock, safeguards=safeguards, events=events)
        builds = BuildService(
            store,
            publisher,
            clock=clock,
            seed=seed.fork("builds"),
            safeguards=safeguards,
            events=events,
        )
        yield control_app(
            Desk(store, builds, clock, seed.fork("api")),
            api_safeguards=safeguards,
            pages_safeguards=safeguards,
            rate_limit=settings.rate_limit,
        )


@asynccontextmanager
async def node_purge(settings: Settings) -> AsyncIterator[NodePurge]:
    """The way to tell all nodes to forget."""
    purge = NodePurge.over_sockets(settings.node_urls, settings.needed_purge_token())
    try:
        yield purge
    finally:
        await purge.close()


async def _create_indexes(store: MetadataStore) -> None:
    try:
        await store.create_indexes()
    except PyMongoError as error:
        reason = str(error).splitlines()[0][:200]
        raise DatabaseError(f"MongoDB refused to make the indexes: {reason}") from error
