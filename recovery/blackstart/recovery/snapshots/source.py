"""The database as a snapshot reads it: all collections, raw, of one moment where the server can.

A session with snapshot read concern makes every read see the database as it
was at one point in time (MongoDB 5.0 and newer, replica sets and sharded
clusters). A server without it gives each document as it is when it is read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast

from pymongo import ASCENDING
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import ConfigurationError, InvalidOperation, OperationFailure, PyMongoError

from blackstart.errors import DatabaseError

Consistency = Literal["snapshot", "document"]
_SNAPSHOT_TOO_OLD = 239
_NOT_ALLOWED = (13, 18)


@dataclass(frozen=True)
class SourceCollection:
    """One entry of `listCollections`: kind is `collection`, `view` or `timeseries`."""

    name: str
    kind: str
    options: dict[str, Any]


class Source:
    """One database, read by one snapshot. Raises (all methods): DatabaseError."""

    def __init__(
        self, database: AsyncDatabase[dict[str, Any]], session: AsyncClientSession | None
    ) -> None:
        self._database = database
        self._session = session

    @property
    def consistency(self) -> Consistency:
        """`snapshot`: all of one moment; `document`: each document of its own."""
        return "document" if self._session is None else "snapshot"

    async def collections(self) -> list[SourceCollection]:
        """All but the server's own (`system.*`), by name."""
        with database_errors("list the collections"):
            found = [entry async for entry in await self._database.list_collections()]
        kept = (entry for entry in found if not entry["name"].startswith("system."))
        entries = (
            SourceCollection(entry["name"], entry.get("type", "collection"), entry["options"])
            for entry in kept
        )
        return sorted(entries, key=lambda entry: entry.name)

    async def indexes(self, collection: str) -> list[dict[str, Any]]:
        """Index specifications, as the server has them."""
        with database_errors(f"list the indexes of {collection}"):
            return [dict(spec) async for spec in await self._database[collection].list_indexes()]

    async def batches(self, collection: str) -> AsyncIterator[bytes]:
        """All documents in `_id` order, as runs of raw BSON."""
        cursor = self._database[collection].find_raw_batches(
            {}, sort=[("_id", ASCENDING)], session=self._session
        )
        with database_errors(f"read {collection}"):
            try:
                # The driver's types speak of documents; these are runs of them.
                async for batch in cast(AsyncIterator[bytes], cursor):
                    yield batch
            finally:
                await cursor.close()


@asynccontextmanager
async def open_source(database: AsyncDatabase[dict[str, Any]]) -> AsyncIterator[Source]:
    """A database to read, with snapshot read concern where the server offers it.

    Raises: DatabaseError.
    """
    with database_errors("start a session"):
        async with database.client.start_session(snapshot=True) as session:
            if await _offers_snapshots(database, session):
                yield Source(database, session)
                return
    yield Source(database, None)


async def _offers_snapshots(
    database: AsyncDatabase[dict[str, Any]], session: AsyncClientSession
) -> bool:
    """Whether a first read in the session is answered: that read fixes its moment."""
    try:
        await database["deploys"].find_one({}, {"_id": 1}, session=session)
    except (ConfigurationError, InvalidOperation):
        return False
    except OperationFailure as error:
        if error.code in _NOT_ALLOWED:
            raise
        return False
    return True


@contextmanager
def database_errors(what: str) -> Iterator[None]:
    """Turns what the driver raises into a DatabaseError of one line."""
    try:
        yield
    except OperationFailure as error:
        hint = ""
        if error.code == _SNAPSHOT_TOO_OLD:
            hint = "raise the server's minSnapshotHistoryWindowInSeconds above the time it takes"
        raise DatabaseError(f"cannot {what}: {_line(error)}", hint=hint) from error
    except PyMongoError as error:
        raise DatabaseError(f"cannot {what}: {_line(error)}") from error


def _line(error: Exception) -> str:
    text = str(error).partition(" (configured timeouts")[0].splitlines()
    return text[0][:160] if text else type(error).__name__
