"""What there is in a snapshot: databases, collections, indexes, and their figures."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from typing import Any

import bson
from bson import Int64

from blackstart.clock import Clock
from blackstart.recovery.mount.asked import Asked
from blackstart.recovery.mount.filters import Filter
from blackstart.recovery.mount.source import Source
from blackstart.wire import CommandError

Result = dict[str, Any]

_ID_INDEX = {"v": 2, "key": {"_id": 1}, "name": "_id_"}


class Catalogue:
    """Lists one database. All of a list goes into the first batch: it is short."""

    def __init__(self, source: Source, database: str, clock: Clock) -> None:
        self._clock = clock
        self._source = source
        self._database = database

    def list_databases(self, asked: Asked) -> Result:
        asked.takes("filter", "nameOnly", "authorizedDatabases")
        if asked.flag("nameOnly"):
            return {"databases": _matching(asked, [{"name": self._database}]), "ok": 1.0}
        size = sum(self._source.raw_bytes(name) for name in self._source.collections())
        entry = {"name": self._database, "sizeOnDisk": Int64(size), "empty": False}
        return {
            "databases": _matching(asked, [entry]),
            "totalSize": Int64(size),
            "totalSizeMb": Int64(size >> 20),
            "ok": 1.0,
        }

    def list_collections(self, asked: Asked) -> Result:
        asked.takes("filter", "nameOnly", "authorizedCollections", "cursor")
        entries: list[Result] = [
            {
                "name": name,
                "type": "collection",
                "options": self._source.options(name),
                "info": {"readOnly": True},
                "idIndex": _ID_INDEX,
            }
            for name in self._names(asked)
        ]
        listed = _matching(asked, entries)
        if asked.flag("nameOnly"):
            listed = [{"name": each["name"], "type": each["type"]} for each in listed]
        return _whole_list(f"{asked.database}.$cmd.listCollections", listed)

    def list_indexes(self, asked: Asked) -> Result:
        asked.takes("cursor", "includeIndexBuildInfo", "includeBuildUUIDs")
        self._must_hold(asked)
        return _whole_list(asked.namespace, self._source.indexes(asked.collection))

    def collection_stats(self, asked: Asked) -> Result:
        """A collection that is not there has figures too, all of them zero."""
        asked.takes("scale", "freeStorage")
        held = asked.collection in self._names(asked)
        figures = self._storage(asked.collection) if held else {"count": 0, "size": 0}
        return {"ns": asked.namespace} | figures | {"ok": 1.0}

    def figures(self, asked: Asked, stage: str) -> list[Result]:
        """What `$collStats` or `$indexStats` puts into a pipeline."""
        self._must_hold(asked)
        name = asked.collection
        here = {"host": platform.node(), "localTime": self._clock.now()}
        if stage == "$collStats":
            stats = self._storage(name)
            return [{"ns": asked.namespace, "storageStats": stats, "count": stats["count"]} | here]
        never = {"ops": Int64(0), "since": here["localTime"]}
        return [
            {"name": each["name"], "key": each["key"], "accesses": never, "host": here["host"]}
            for each in self._source.indexes(name)
        ]

    def _storage(self, name: str) -> Result:
        """Sizes are those of the documents: what chunks take in the bucket, they share."""
        count, size = self._source.count(name), self._source.raw_bytes(name)
        indexes = self._source.indexes(name)
        return {
            "size": size,
            "count": count,
            "avgObjSize": size // max(count, 1),
            "storageSize": size,
            "freeStorageSize": 0,
            "capped": False,
            "nindexes": len(indexes),
            "indexSizes": {each["name"]: 0 for each in indexes},
            "totalIndexSize": 0,
            "totalSize": size,
            "scaleFactor": 1,
        }

    def database_stats(self, asked: Asked) -> Result:
        asked.takes("scale", "freeStorage")
        names = self._names(asked)
        count = sum(self._source.count(name) for name in names)
        scale = asked.whole("scale", 1) or 1
        size = sum(self._source.raw_bytes(name) for name in names)
        return {
            "db": asked.database,
            "collections": len(names),
            "views": 0,
            "objects": count,
            "avgObjSize": size / max(count, 1),
            "dataSize": size / scale,
            "storageSize": size / scale,
            "indexes": sum(len(self._source.indexes(name)) for name in names),
            "indexSize": 0.0,
            "totalSize": size / scale,
            "scaleFactor": float(scale),
            "ok": 1.0,
        }

    def _names(self, asked: Asked) -> list[str]:
        return self._source.collections() if asked.database == self._database else []

    def _must_hold(self, asked: Asked) -> None:
        if asked.collection not in self._names(asked):
            raise CommandError("NamespaceNotFound", f"ns does not exist: {asked.namespace}")


def _matching(asked: Asked, entries: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    chosen = Filter(asked.document("filter"))
    return [entry for entry in entries if chosen.matches(bson.decode(bson.encode(entry)))]


def _whole_list(namespace: str, entries: Iterable[Mapping[str, Any]]) -> Result:
    cursor = {"id": Int64(0), "ns": namespace, "firstBatch": list(entries)}
    return {"cursor": cursor, "ok": 1.0}
