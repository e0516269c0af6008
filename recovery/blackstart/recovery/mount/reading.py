"""The commands that read documents: find, getMore, killCursors, count, distinct, aggregate."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import bson
from bson import Int64

from blackstart.clock import Clock
from blackstart.recovery.mount.asked import Asked
from blackstart.recovery.mount.budget import Budget
from blackstart.recovery.mount.catalogue import Catalogue
from blackstart.recovery.mount.cursors import FIRST_BATCH, MAX_BATCH_BYTES, Cursor, Cursors
from blackstart.recovery.mount.filters import values_at
from blackstart.recovery.mount.pipeline import Pipeline
from blackstart.recovery.mount.projection import Projection
from blackstart.recovery.mount.query import Query
from blackstart.recovery.mount.source import Found, Source
from blackstart.recovery.snapshots.order import id_key
from blackstart.wire import CommandError
from blackstart.wire.documents import PLAIN

Result = dict[str, Any]

_FIND: tuple[str, ...] = (
    "filter",
    "sort",
    "projection",
    "skip",
    "limit",
    "batchSize",
    "singleBatch",
    "hint",
)
_FIND += ("collation", "allowDiskUse", "noCursorTimeout", "returnKey", "showRecordId", "tailable")
_FIND += ("awaitData", "allowPartialResults", "let", "max", "min")
_NOT_DONE = ("returnKey", "showRecordId", "tailable", "awaitData", "let", "max", "min")


class Reading:
    """Answers what reads documents of one database; any other database is empty."""

    def __init__(
        self,
        source: Source,
        database: str,
        catalogue: Catalogue,
        cursors: Cursors,
        clock: Clock,
    ) -> None:
        self._source = source
        self._database = database
        self._catalogue = catalogue
        self._cursors = cursors
        self._clock = clock

    async def find(self, asked: Asked) -> Result:
        asked.takes(*_FIND)
        for name in _NOT_DONE:
            if asked.body.get(name):
                raise CommandError("NotImplemented", f"find with {name} is not done on a snapshot")
        query = self.query_of(asked)
        projection = asked.document("projection")
        keep = Projection(projection) if projection else None
        budget = self._budget(asked)
        documents = _encoded(self._run(query, asked, budget), keep)
        cursor = Cursor(asked.namespace, documents, budget)
        return await self._first_batch(asked, cursor, asked.optional_whole("batchSize"))

    def query_of(self, asked: Asked) -> Query:
        """What a find asks for."""
        asked.refuse_collation()
        return Query(
            asked.document("filter"),
            sort=asked.document("sort"),
            skip=asked.whole("skip"),
            limit=asked.whole("limit"),
        )

    async def get_more(self, asked: Asked) -> Result:
        asked.takes("collection", "batchSize")
        number, collection = asked.body["getMore"], asked.body.get("collection")
        if isinstance(number, bool) or not isinstance(number, int):
            raise CommandError("TypeMismatch", "'getMore' must be a cursor's number")
        cursor = self._cursors.take(number, f"{asked.database}.{collection}")
        keep = False
        try:
            with cursor.budget.running():
                batch = await cursor.batch(asked.whole("batchSize") or None)
                keep = not await cursor.is_exhausted()
        finally:
            self._cursors.give_back(number, cursor, keep=keep)
        return _cursor_answer(cursor, "nextBatch", batch, number if keep else 0)

    async def kill_cursors(self, asked: Asked) -> Result:
        asked.takes("cursors")
        numbers = asked.body.get("cursors")
        if not isinstance(numbers, list) or not all(isinstance(each, int) for each in numbers):
            raise CommandError("TypeMismatch", "'cursors' must be an array of numbers")
        killed = [each for each in numbers if self._cursors.kill(each, asked.namespace)]
        return {
            "cursorsKilled": [Int64(each) for each in killed],
            "cursorsNotFound": [Int64(each) for each in numbers if each not in killed],
            "cursorsAlive": [],
            "cursorsUnknown": [],
            "ok": 1.0,
        }

    async def count(self, asked: Asked) -> Result:
        asked.takes("query", "skip", "limit", "hint", "collation", "fields")
        asked.refuse_collation()
        skip, limit = asked.whole("skip"), asked.whole_of("limit")
        query = Query(asked.document("query"))
        total = 0
        if query.counts_all:
            total = self.document_count(asked)
        else:
            async for _ in self._run(query, asked, self._budget(asked).start()):
                total += 1
                if limit and total >= skip + limit:
                    break
        counted = max(total - skip, 0)
        return {"n": min(counted, limit) if limit else counted, "ok": 1.0}

    def document_count(self, asked: Asked) -> int:
        """How many documents the collection holds, as the snapshot says."""
        held = asked.database == self._database and asked.collection in self._source.collections()
        return self._source.count(asked.collection) if held else 0

    async def distinct(self, asked: Asked) -> Result:
        asked.takes("key", "query", "collation", "hint")
        asked.refuse_collation()
        key = asked.body.get("key")
        if not isinstance(key, str) or not key:
            raise CommandError("TypeMismatch", "'distinct.key' must be a field's name")
        values: dict[Any, Any] = {}
        held_bytes = 0
        query = Query(asked.document("query"))
        async for found in self._run(query, asked, self._budget(asked).start()):
            for value in values_at(found.document, key, with_missing=False):
                order = id_key(value)
                if order not in values:
                    values[order] = value
                    held_bytes += len(bson.encode({"": value}, codec_options=PLAIN))
                    if held_bytes > MAX_BATCH_BYTES:
                        raise CommandError("BSONObjectTooLarge", "distinct too big, 16mb cap")
        return {"values": [values[order] for order in sorted(values)], "ok": 1.0}

    async def aggregate(self, asked: Asked) -> Result:
        asked.takes(
            "pipeline", "cursor", "allowDiskUse", "collation", "hint", "bypassDocumentValidation"
        )
        asked.refuse_collation()
        if "cursor" not in asked.body:
            raise CommandError("FailedToParse", "The 'cursor' option is required")
        batch = asked.document("cursor").get("batchSize")
        if not (batch is None or (isinstance(batch, int) and batch >= 0)):
            raise CommandError("TypeMismatch", "'cursor.batchSize' must be a number >= 0")
        pipeline = Pipeline(asked.body.get("pipeline"))
        budget = self._budget(asked)
        if pipeline.about:
            found = pipeline.run_on(_made(self._catalogue.figures(asked, pipeline.about)))
        else:
            found = pipeline.run(self._source_of(asked), asked.collection, budget)
        documents = _encoded(found, None)
        return await self._first_batch(asked, Cursor(asked.namespace, documents, budget), batch)

    def _budget(self, asked: Asked) -> Budget:
        return Budget(self._clock, asked.whole("maxTimeMS"))

    def _run(self, query: Query, asked: Asked, budget: Budget) -> AsyncIterator[Found]:
        return query.run(self._source_of(asked), asked.collection, budget)

    def _source_of(self, asked: Asked) -> Source:
        return self._source if asked.database == self._database else _Nothing()

    async def _first_batch(self, asked: Asked, cursor: Cursor, size: int | None) -> Result:
        with cursor.budget.running():
            batch = await cursor.batch(FIRST_BATCH if size is None else size)
            # A batch of none is asked for when the client wants the cursor, not the work.
            ended = size != 0 and await cursor.is_exhausted()
        done = ended or asked.flag("singleBatch")
        return _cursor_answer(cursor, "firstBatch", batch, 0 if done else self._cursors.add(cursor))


class _Nothing:
    """A database that the snapshot does not hold."""

    def collections(self) -> list[str]:
        return []

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name}: there is nothing to read")


async def _made(documents: list[Result]) -> AsyncIterator[Found]:
    for each in documents:
        yield Found.made(each)


async def _encoded(
    documents: AsyncIterator[Found], keep: Projection | None
) -> AsyncIterator[bytes]:
    async for found in documents:
        yield found.raw if keep is None else Found.made(keep(found.document)).raw


def _cursor_answer(cursor: Cursor, name: str, batch: list[Any], number: int) -> Result:
    held: Mapping[str, Any] = {name: batch, "id": Int64(number), "ns": cursor.namespace}
    return {"cursor": held, "ok": 1.0}
