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
        entry: Result = {"name": self._database, "sizeOnDisk": Int64(0), "empty": False}
        if asked.flag("nameOnly"):
            entry = {"name": self._database}
        listed = _matching(asked, [entry])
        return {"databases": listed, "ok": 1.0} | (
            {} if asked.flag("nameOnly") else {"totalSize": Int64(0), "totalSizeMb": Int64(0)}
        )

    def list_collections(self, asked: Asked) -> Result:
        asked.takes("filter", "nameOnly", "authorizedCollections", "cursor")
        entries: list[Result] = [
            {
                "name": name,
                "type": "collection",
                "options": {},
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
        """Only counts are known: a manifest does not say how large documents are."""
        count = self._source.count(name)
        indexes = self._source.indexes(name)
        return {
            "size": 0,
            "count": count,
            "avgObjSize": 0,
            "storageSize": 0,
            "freeStorageSize": 0,
            "capped": False,
            "nindexes": len(indexes),
            "indexSizes": {each["name"]: 0 for each in indexes},
            "totalIndexSize": 0,
            "totalSize": 0,
            "scaleFactor": 1,
        }

    def database_stats(self, asked: Asked) -> Result:
        asked.takes("scale", "freeStorage")
        names = self._names(asked)
        return {
            "db": asked.database,
            "collections": len(names),
            "views": 0,
            "objects": sum(self._source.count(name) for name in names),
            "avgObjSize": 0.0,
            "dataSize": 0.0,
            "storageSize": 0.0,
            "indexes": sum(len(self._source.indexes(name)) for name in names),
            "indexSize": 0.0,
            "totalSize": 0.0,
            "scaleFactor": 1.0,
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
