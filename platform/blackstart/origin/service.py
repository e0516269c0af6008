"""The origin as a server, put together from its settings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from blackstart.origin.app import Origin
from blackstart.settings import Settings
from blackstart.store import ObjectStore
from blackstart.store.metadata import connect


@asynccontextmanager
async def origin_service(settings: Settings) -> AsyncIterator[Origin]:
    """The application. Raises: UsageError for settings that are missing; DatabaseError."""
    safeguards = settings.switches()
    uri = settings.needed_mongodb_uri()
    objects = ObjectStore.open(settings.needed_object_store())
    async with connect(uri, settings.database) as store:
        yield Origin(store, objects, safeguards=safeguards, domain=settings.domain)
