"""Which documents of a snapshot are meant, by a filter that is evaluated as in a mounted one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import UTC
from typing import Any

import bson
from bson import json_util
from bson.errors import BSONError

from blackstart.clock import WallClock
from blackstart.errors import UsageError
from blackstart.recovery.mount.budget import Budget
from blackstart.recovery.mount.filters import Filter
from blackstart.recovery.mount.query import Query
from blackstart.recovery.snapshots import SnapshotReader
from blackstart.wire import CommandError

_JSON = json_util.JSONOptions(tz_aware=True, tzinfo=UTC)


class Wanted:
    """A filter; an empty one means every document.

    Raises: UsageError, when it is made, for what MongoDB refuses or is not evaluated here.
    """

    def __init__(self, where: Mapping[str, Any], *, limit: int = 0) -> None:
        self.where = where
        try:
            self._query = Query(where, limit=limit)
            self._filter = Filter(where)
        except CommandError as error:
            raise _refused(error) from error

    @classmethod
    def parse(cls, text: str, *, limit: int = 0) -> Wanted:
        """From extended JSON. Raises: UsageError."""
        if not text.strip():
            return cls({}, limit=limit)
        try:
            where = json_util.loads(text, json_options=_JSON)
        except (ValueError, TypeError, ArithmeticError, RecursionError, BSONError) as error:
            raise UsageError(
                f"--where is no JSON: {error}", hint="""write it as '{"site_id": "..."}'"""
            ) from error
        if not isinstance(where, dict):
            raise UsageError("--where has to be a document", hint="""like '{"site_id": "..."}'""")
        try:
            # JSON has numbers and texts that no document can hold.
            bson.encode(where)
        except (ValueError, ArithmeticError, RecursionError, BSONError) as error:
            raise UsageError(f"--where cannot be asked for: {error}") from error
        return cls(where, limit=limit)

    async def among(self, reader: SnapshotReader, collection: str) -> AsyncGenerator[bytes, None]:
        """The documents of a snapshot that are meant, in `_id` order, as they are stored.

        Raises: UsageError for a collection that it does not hold; as the reader.
        """
        if collection not in reader.collections():
            there = ", ".join(reader.collections()) or "none at all"
            raise UsageError(
                f"the snapshot has no collection {collection}", hint=f"there is {there}"
            )
        budget = Budget(WallClock()).start()
        try:
            async with aclosing(self._query.run(reader, collection, budget)) as found:
                async for each in found:
                    yield each.raw
        except CommandError as error:
            raise _refused(error) from error

    def matches(self, document: Mapping[str, Any]) -> bool:
        """Whether a document of the database is meant. Raises: UsageError."""
        try:
            return self._filter.matches(document)
        except CommandError as error:
            raise _refused(error) from error


def _refused(error: CommandError) -> UsageError:
    return UsageError(
        f"--where: {error.errmsg}", hint="docs/mount.md tells which filters are known"
    )
