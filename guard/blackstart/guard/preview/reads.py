"""The database as a preview may use it: reads only, and all of them within one bound of time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import bson
from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS, RawBSONDocument
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection

from blackstart.guard.rules import Write
from blackstart.wire.documents import PLAIN

LOOK_BYTES = 16 * 1024 * 1024
"""So many bytes of documents are read for one statement."""

COUNT: Mapping[str, Any] = {"$group": {"_id": None, "count": {"$sum": 1}}}
"""The stage that counts what comes to it."""

Client = AsyncMongoClient[Any]


class Reads:
    """Bounded reads. Raises (all methods): PyMongoError."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def total(self, database: str, collection: str) -> int:
        """Documents of a collection, as the server has them counted."""
        return int(await self._raw(database, collection).estimated_document_count())

    async def count(
        self, database: str, collection: str, found: Mapping[str, Any], **options: Any
    ) -> int:
        """Documents that match."""
        stages: list[Mapping[str, Any]] = [{"$match": found}, COUNT]
        answers = await self.aggregate(database, collection, stages, **options)
        return int(answers[0]["count"]) if answers else 0

    async def matching(self, write: Write, limit: int) -> AsyncIterator[dict[str, Any]]:
        """The first documents that a statement matches, as plain values."""
        options = {key: write.options[key] for key in ("collation", "let") if key in write.options}
        if "hint" in write.options:
            options["hint"] = _hint(write.options["hint"])
        cursor = self._raw(write.database, write.collection).find(
            write.filter, limit=limit, batch_size=100, **options
        )
        size = 0
        async with cursor:
            async for document in cursor:
                yield bson.decode(document.raw, PLAIN)
                size += len(document.raw)
                if size > LOOK_BYTES:
                    return

    async def aggregate(
        self,
        database: str,
        collection: str,
        stages: Sequence[Mapping[str, Any]],
        **options: Any,
    ) -> list[dict[str, Any]]:
        """All that a pipeline, which must not write, gives."""
        if "hint" in options:
            options["hint"] = _hint(options["hint"])
        cursor = await self._raw(database, collection).aggregate(list(stages), **options)
        async with cursor:
            return [bson.decode(each.raw, PLAIN) async for each in cursor]

    async def collections(self, database: str) -> list[str]:
        """Names, without those that are the server's own."""
        names = await self._client[database].list_collection_names()
        return sorted(name for name in names if not name.startswith("system."))

    async def options(self, database: str, collection: str) -> dict[str, Any] | None:
        """How a collection was made; None when there is none."""
        cursor = await self._client[database].list_collections(filter={"name": collection})
        async with cursor:
            async for each in cursor:
                return dict(each.get("options", {}))
        return None

    async def indexes(self, database: str, collection: str) -> list[dict[str, Any]]:
        """As listIndexes gives them; none for a collection that is not there."""
        cursor = await self._client[database][collection].list_indexes()
        async with cursor:
            return [dict(each) async for each in cursor]

    def _raw(self, database: str, collection: str) -> AsyncCollection[RawBSONDocument]:
        options = DEFAULT_RAW_BSON_OPTIONS
        return self._client[database].get_collection(collection, codec_options=options)


def _hint(hint: Any) -> Any:
    return list(hint.items()) if isinstance(hint, Mapping) else hint
