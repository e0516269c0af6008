"""What a snapshot is taken from: a database, read as of one moment where its server can.

A MongoDB replica set or sharded cluster is read in a snapshot session
(MongoDB 5.0 and later; the server keeps five minutes of history unless told
otherwise). The embedded server takes such a session and does not honour it,
but it does keep its word in a transaction. A standalone server has neither:
each document is then as it was when its turn came.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, cast

from pymongo import ASCENDING
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.cursor import AsyncRawBatchCursor
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import (
    ConfigurationError,
    InvalidOperation,
    OperationFailure,
    PyMongoError,
)
from pymongo.read_concern import ReadConcern

from blackstart.errors import DatabaseError

Database = AsyncDatabase[dict[str, Any]]
"""As PyMongo gives it."""
EMBEDDED_SET = "secantus"
REFUSED = (13, 18)
"""Not authorised, and not who one says to be."""
SNAPSHOT_TOO_OLD = 239
BY_ID = [("_id", ASCENDING)]
BATCH_DOCUMENTS = 5_000
"""The server ends a batch at 16 MiB by itself; small documents are not to wait for so many."""


class Source:
    """The collections of a database, raw, in `_id` order."""

    def __init__(self, database: Database, session: AsyncClientSession | None) -> None:
        self._database = database
        self._session = session

    @property
    def is_consistent(self) -> bool:
        """Whether all collections are read as of one moment."""
        return self._session is not None

    async def batches(self, collection: str) -> AsyncGenerator[bytes, None]:
        """Runs of whole documents. Raises: DatabaseError."""
        try:
            async with self._find(collection) as found:
                async for batch in found:
                    # PyMongo's hints promise documents; a batch is bytes.
                    yield cast(bytes, batch)
        except PyMongoError as error:
            raise _failed(f"collection {collection} could not be read", error) from error

    def _find(self, collection: str) -> AsyncRawBatchCursor[dict[str, Any]]:
        return self._database[collection].find_raw_batches(
            {},
            sort=BY_ID,
            # The embedded server sorts by itself otherwise, which takes several times as long.
            hint=BY_ID,
            batch_size=BATCH_DOCUMENTS,
            session=self._session,
        )


@dataclass(frozen=True)
class Inventory:
    """What a database holds: collections with their options and indexes, and views' definitions.

    `left_out` names what a snapshot does not copy, and why.
    """

    collections: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]
    views: dict[str, dict[str, Any]]
    left_out: list[str]


@asynccontextmanager
async def reading(database: Database) -> AsyncIterator[Source]:
    """A source that shows one moment, if the server can. Raises: DatabaseError."""
    try:
        hello = await database.client.admin.command("hello")
    except PyMongoError as error:
        raise _failed("the database does not answer", error) from error
    if hello.get("setName") == EMBEDDED_SET:
        async with database.client.start_session() as session:
            await session.start_transaction(read_concern=ReadConcern("snapshot"))
            try:
                yield Source(database, session)
            finally:
                # A server that is gone has forgotten the transaction already.
                with suppress(PyMongoError):
                    await session.abort_transaction()
        return
    async with database.client.start_session(snapshot=True) as session:
        yield Source(database, session if await _offers_snapshots(database, session) else None)


async def _offers_snapshots(database: Database, session: AsyncClientSession) -> bool:
    """Whether the server answers a read in a snapshot session; that read fixes the moment.

    Raises: DatabaseError when it would not answer any other read either.
    """
    try:
        await database["deploys"].find_one({}, {"_id": 1}, session=session)
    except (ConfigurationError, InvalidOperation):
        return False
    except OperationFailure as error:
        if error.code in REFUSED:
            raise _failed("the database may not be read", error) from error
        return False
    except PyMongoError as error:
        raise _failed("the database does not answer", error) from error
    return True


async def inventory_of(database: Database) -> Inventory:
    """All that a database holds but the server's own. Raises: DatabaseError."""
    found = Inventory({}, {}, [])
    try:
        async for listed in await database.list_collections():
            if not listed["name"].startswith("system."):
                await _enter(found, database, listed)
    except PyMongoError as error:
        raise _failed("the collections could not be listed", error) from error
    return Inventory(dict(sorted(found.collections.items())), found.views, sorted(found.left_out))


async def collections_of(database: Database) -> list[str]:
    """The names of the collections that a snapshot copies. Raises: DatabaseError."""
    return list((await inventory_of(database)).collections)


async def _enter(found: Inventory, database: Database, listed: Mapping[str, Any]) -> None:
    name, kind = listed["name"], listed.get("type", "collection")
    options = dict(listed.get("options", {}))
    if kind == "collection":
        indexes = [dict(each) async for each in await database[name].list_indexes()]
        found.collections[name] = (options, indexes)
    elif kind == "view":
        found.views[name] = options
    else:
        found.left_out.append(f"{name}: a {kind} collection is not copied")


def _failed(what: str, error: PyMongoError) -> DatabaseError:
    too_old = isinstance(error, OperationFailure) and error.code == SNAPSHOT_TOO_OLD
    hint = "raise minSnapshotHistoryWindowInSeconds of the server" if too_old else ""
    lines = str(error).partition(" (configured timeouts")[0].splitlines()
    reason = lines[0][:160] if lines else type(error).__name__
    return DatabaseError(f"{what}: {reason}", hint=hint)
