"""What a snapshot is taken from: a database, read as of one moment where its server can.

A MongoDB replica set or sharded cluster is read in a snapshot session
(MongoDB 5.0 and later; the server keeps five minutes of history unless told
otherwise). The embedded server takes such a session and does not honour it,
but it does keep its word in a transaction. A standalone server has neither:
each collection is then read as it is when its turn comes.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from pymongo import ASCENDING
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.cursor import AsyncRawBatchCursor
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from blackstart.errors import DatabaseError

Database = AsyncDatabase[dict[str, Any]]
"""As PyMongo gives it."""
EMBEDDED_SET = "secantus"
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
                await session.abort_transaction()
    elif "setName" in hello or hello.get("msg") == "isdbgrid":
        async with database.client.start_session(snapshot=True) as session:
            yield Source(database, session)
    else:
        yield Source(database, None)


async def collections_of(database: Database) -> dict[str, tuple[dict[str, Any], list[Any]]]:
    """Options and indexes of every collection but the server's own. Raises: DatabaseError."""
    found = {}
    try:
        async for listed in await database.list_collections():
            name = listed["name"]
            if name.startswith("system.") or listed.get("type", "collection") != "collection":
                continue
            indexes = [dict(each) async for each in await database[name].list_indexes()]
            found[name] = (dict(listed.get("options", {})), indexes)
    except PyMongoError as error:
        raise _failed("the collections could not be listed", error) from error
    return dict(sorted(found.items()))


def _failed(what: str, error: PyMongoError) -> DatabaseError:
    return DatabaseError(f"{what}: {str(error).splitlines()[0][:160]}")
