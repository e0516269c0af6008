"""A snapshot in memory that counts what is read of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument

from blackstart.recovery.snapshots.order import id_key

INDEXES = [{"v": 2, "key": {"_id": 1}, "name": "_id_"}]


class FakeSnapshot:
    """Collections of documents, each in `_id` order."""

    def __init__(self, **collections: Iterable[Mapping[str, Any]]) -> None:
        self.held = {
            name: sorted(documents, key=lambda each: id_key(each["_id"]))
            for name, documents in collections.items()
        }
        self.got: list[Any] = []
        self.scanned = 0
        self.unordered: set[str] = set()

    def collections(self) -> list[str]:
        return sorted(self.held)

    def count(self, collection: str) -> int:
        return len(self.held[collection])

    def is_ordered(self, collection: str) -> bool:
        return collection not in self.unordered

    def indexes(self, collection: str) -> list[dict[str, Any]]:
        return [*INDEXES, {"v": 2, "key": {"site_id": 1}, "name": "site_id_1"}]

    def options(self, collection: str) -> dict[str, Any]:
        return {"validator": {"state": {"$exists": True}}} if collection == "deploys" else {}

    def raw_bytes(self, collection: str) -> int:
        return sum(len(bson.encode(each)) for each in self.held[collection])

    async def get(self, collection: str, _id: Any) -> RawBSONDocument | None:
        self.got.append(_id)
        for each in self.held[collection]:
            if id_key(each["_id"]) == id_key(_id):
                return RawBSONDocument(bson.encode(each))
        return None

    async def scan(self, collection: str, *, start: Any = None) -> AsyncIterator[RawBSONDocument]:
        for each in self.held[collection]:
            if start is None or id_key(each["_id"]) >= id_key(start):
                self.scanned += 1
                yield RawBSONDocument(bson.encode(each))
