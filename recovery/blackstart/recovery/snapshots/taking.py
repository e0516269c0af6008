"""Taking a snapshot: read, cut, compress, store, and the manifest last."""

from __future__ import annotations

from datetime import datetime

import bson

from blackstart.recovery.snapshots.cutting import Cut, Cutter, bits_for
from blackstart.recovery.snapshots.documents import split
from blackstart.recovery.snapshots.keys import chunk_key, manifest_key
from blackstart.recovery.snapshots.manifest import (
    Chunk,
    Manifest,
    SnapshotCollection,
    Stored,
    encode,
)
from blackstart.recovery.snapshots.packing import digest_of, pack
from blackstart.recovery.snapshots.source import Source, SourceCollection
from blackstart.store import ObjectStore


class Take:
    """One snapshot on its way."""

    def __init__(
        self, objects: ObjectStore, snapshot_id: str, database: str, taken_at: datetime
    ) -> None:
        self._objects = objects
        self._id = snapshot_id
        self._database = database
        self._taken_at = taken_at
        self._written = 0

    async def run(self, source: Source) -> Manifest:
        """Copy all there is; returns the manifest, which is stored by then."""
        collections, left_out = [], []
        for entry in await source.collections():
            if entry.kind == "timeseries":
                left_out.append(f"{entry.name}: time series are not copied")
                continue
            collections.append(await self._copy(source, entry))
        manifest = Manifest(
            self._id,
            self._database,
            self._taken_at,
            source.consistency,
            collections,
            left_out,
            self._written,
        )
        await self._objects.put(manifest_key(self._id), encode(manifest))
        return manifest

    async def _copy(self, source: Source, entry: SourceCollection) -> SnapshotCollection:
        chunks: list[Chunk] = []
        cutter = Cutter(bits=0)
        indexes = []
        if entry.kind == "collection":
            indexes = await source.indexes(entry.name)
            cutter = Cutter(bits=-1)
            async for batch in source.batches(entry.name):
                if cutter.bits < 0:
                    cutter.bits = bits_for(len(batch) / max(1, sum(1 for _ in split(batch))))
                chunks += [await self._store(cut) for cut in cutter.feed(batch)]
            chunks += [await self._store(cut) for cut in cutter.end()]
        options = bson.decode(bson.encode(entry.options))
        return SnapshotCollection(
            entry.name, options, indexes, max(0, cutter.bits), cutter.ordered, chunks
        )

    async def _store(self, cut: Cut) -> Chunk:
        digest = digest_of(cut.raw)
        name = f"{digest}.{self._id[-8:]}"
        packed = pack(cut.raw)
        await self._objects.put(chunk_key(name), packed)
        self._written += len(packed)
        kept = Stored(name, len(packed))
        return Chunk(cut.first, cut.last, cut.count, len(cut.raw), digest, kept)
