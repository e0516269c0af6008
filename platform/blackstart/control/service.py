"""The control plane as a server, put together from its settings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from pymongo.errors import PyMongoError

from blackstart.clock import Clock, WallClock
from blackstart.control.app import control_app
from blackstart.control.desk import Desk, open_desk
from blackstart.control.janitor import Janitor
from blackstart.control.purge import NodePurge
from blackstart.errors import DatabaseError
from blackstart.events import Events, log_events
from blackstart.seed import Seed
from blackstart.settings import Settings
from blackstart.store import MetadataStore, ObjectStore
from blackstart.store.metadata import connect
from blackstart.store.pointers import PointerLog
from blackstart.store.pointers.opening import open_pointer_log


@asynccontextmanager
async def control_service(settings: Settings) -> AsyncIterator[FastAPI]:
    """The application, with the indexes made that its queries need.

    Raises: UsageError for settings that are missing; DatabaseError.
    """
    safeguards = settings.switches()
    uri = settings.needed_mongodb_uri()
    objects = ObjectStore.open(settings.needed_object_store())
    settings.needed_purge_token()
    clock: Clock = WallClock()
    events = log_events("control")
    async with (
        connect(uri, settings.database) as store,
        node_purge(settings, store, clock) as purge,
        pointer_log(settings, "control", objects, clock=clock, events=events) as pointers,
    ):
        await _create_indexes(store)
        desk: Desk = open_desk(
            store,
            objects,
            purge,
            clock=clock,
            seed=Seed.from_entropy(),
            safeguards=safeguards,
            events=events,
            policy=settings.repository_policy(),
            public_url=settings.sites_url(),
            pointers=pointers,
        )
        async with clock.beside("janitor", Janitor(desk).run_forever()):
            yield control_app(
                desk,
                api_safeguards=safeguards,
                pages_safeguards=safeguards,
                rate_limit=settings.rate_limit,
                collectors=[purge.silent],
            )


@asynccontextmanager
async def node_purge(
    settings: Settings, store: MetadataStore, clock: Clock
) -> AsyncIterator[NodePurge]:
    """The way to tell all nodes to forget, and that they missed nothing.

    Raises: UsageError when the nodes want a token and there is none.
    """
    purge = NodePurge.over_sockets(
        settings.node_urls,
        settings.needed_purge_token(),
        store.purges,
        clock=clock,
        seed=Seed.from_entropy(),
        lease_s=settings.node_lease_s,
    )
    try:
        async with purge.pinging():
            yield purge
    finally:
        await purge.close()


@asynccontextmanager
async def pointer_log(
    settings: Settings, role: str, objects: ObjectStore, *, clock: Clock, events: Events
) -> AsyncIterator[PointerLog | None]:
    """The pointer log of a process of this role; None when the safeguard is off.

    Raises: StorageError when its folder cannot be used.
    """
    if "pointer-log" not in settings.switches():
        yield None
        return
    seed = Seed.from_entropy()
    async with open_pointer_log(
        settings.pointer_log, role, objects, clock=clock, seed=seed, events=events
    ) as log:
        yield log


async def _create_indexes(store: MetadataStore) -> None:
    try:
        await store.create_indexes()
    except PyMongoError as error:
        reason = str(error).splitlines()[0][:200]
        raise DatabaseError(f"MongoDB refused to make the indexes: {reason}") from error
