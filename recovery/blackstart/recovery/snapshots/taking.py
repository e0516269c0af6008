"""Taking a snapshot: read, cut, store what is new, and write the manifest last."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from obstore.store import MemoryStore

from blackstart.clock import Clock
from blackstart.errors import BlackstartError, ConflictError, StorageError
from blackstart.recovery.snapshots.chunks import MAX_PATCH_SHARE, Chunks
from blackstart.recovery.snapshots.cutting import Cut, Cutter, bits_for
from blackstart.recovery.snapshots.keys import TAKES, chunk_name, manifest_key
from blackstart.recovery.snapshots.leases import Lease
from blackstart.recovery.snapshots.manifest import Chunk, Manifest, Snapshot, SnapshotCollection
from blackstart.recovery.snapshots.pipeline import Pipeline
from blackstart.recovery.snapshots.source import Database, Source, inventory_of, reading

AT_ONCE = 4
"""Chunks that are packed and stored while more documents are read."""

MOST_BITS_OFF = 3
"""Chunks may come to be eight times as large, or as small, as they are meant to be."""

Progress = Callable[[int], None]
_Copied = tuple[Cutter, list[Chunk]]


class Take:
    """One snapshot in the making."""

    def __init__(self, chunks: Chunks, clock: Clock, snapshot_id: str, token: str) -> None:
        self._chunks = chunks
        self._clock = clock
        self._id = snapshot_id
        self._lease = Lease(chunks.objects, clock, f"{TAKES}{snapshot_id}", token)
        self._known: dict[str, Chunk] = {}
        self._begins: dict[tuple[str, bytes], Chunk] = {}
        # In memory nothing blocks, and a drill's order must not depend on threads.
        self._threads = not isinstance(chunks.objects.backend, MemoryStore)
        self._bits: dict[str, int | None] = {}
        self._stored_bytes = 0
        self._named = 0

    async def begin(self) -> bool:
        """Say that this snapshot is being taken; False when its id is another one's."""
        return await self._lease.claim()

    async def end(self) -> None:
        """Say that nobody is at it any more; where that fails, time will tell."""
        with suppress(StorageError):
            await self._lease.release()

    async def run(
        self, database: Database, previous: Manifest | None, progress: Progress | None = None
    ) -> Manifest:
        """Read all of a database into the object store; `progress` is told of documents read.

        What `previous` holds is not stored again. Raises: DatabaseError, StorageError,
        ConflictError; nothing is listed then.
        """
        if previous is not None:
            self._build_on(previous)
        taken_at = self._clock.now()
        found = await inventory_of(database)
        collections = {}
        async with reading(database) as source:
            for name, (options, indexes) in found.collections.items():
                cutter, chunks = await self._collection(source, name, progress or _ignore)
                collections[name] = SnapshotCollection(
                    tuple(chunks), tuple(indexes), options, cutter.bits, cutter.ordered
                )
            consistent = source.is_consistent
        snapshot = Snapshot(
            id=self._id,
            taken_at=taken_at,
            database=database.name,
            consistent=consistent,
            counts={name: each.count for name, each in collections.items()},
            raw_bytes=sum(each.raw_bytes for each in collections.values()),
            stored_bytes=self._stored_bytes,
            sealed=self._chunks.sealer is not None,
            left_out=tuple(found.left_out),
        )
        manifest = Manifest(snapshot, collections, found.views)
        data = manifest.encode(self._chunks.sealer)
        if not await self._chunks.objects.put_new(manifest_key(self._id), data):
            raise ConflictError("this was taken for dead meanwhile", hint="take it again")
        return manifest

    def _build_on(self, previous: Manifest) -> None:
        self._known = previous.chunks()
        self._bits = {name: bits_again(each) for name, each in previous.collections.items()}
        # A range that changed is a patch of what began at the same document before.
        self._begins = {
            (name, chunk.first_id): chunk
            for name, each in previous.collections.items()
            for chunk in each.chunks
        }

    async def _collection(self, source: Source, name: str, progress: Progress) -> _Copied:
        pipeline: Pipeline[Chunk] = Pipeline(threads=self._threads, at_once=AT_ONCE)
        cutter = Cutter(self._bits.get(name))
        try:
            async with pipeline.ahead(source.batches(name)) as batches:
                async for batch in batches:
                    cuts, count = await pipeline.work(self._cut, cutter, batch)
                    for cut, digest in cuts:
                        await pipeline.start(self._store(pipeline, name, cut, digest))
                    progress(count)
            for cut in cutter.rest():
                await pipeline.start(self._store(pipeline, name, cut, self._chunks.digest(cut.raw)))
            return cutter, await pipeline.finish()
        finally:
            await pipeline.stop()

    def _cut(self, cutter: Cutter, batch: bytes) -> tuple[list[tuple[Cut, str]], int]:
        cuts, count = cutter.feed(batch)
        return [(cut, self._chunks.digest(cut.raw)) for cut in cuts], count

    async def _store(
        self, pipeline: Pipeline[Chunk], collection: str, cut: Cut, digest: str
    ) -> Chunk:
        """Store one chunk, unless the previous snapshot has it."""
        # Where nothing changed for a quarter of an hour's reading, this is alive as well.
        await self._lease.hold()
        if (known := self._known.get(digest)) is not None:
            return known
        chunk = await self._patched(pipeline, collection, cut, digest)
        chunk = chunk or await self._whole(pipeline, cut, digest)
        self._stored_bytes += chunk.stored_bytes
        return chunk

    async def _patched(
        self, pipeline: Pipeline[Chunk], collection: str, cut: Cut, digest: str
    ) -> Chunk | None:
        """Store it as a patch of what was there before, if that is worth it."""
        before = self._begins.get((collection, cut.first_id))
        if before is None:
            return None
        base = before.base or before.name
        try:
            raw, size = await self._chunks.read_base(base)
        except BlackstartError:
            # A base that cannot be read is no reason to fail: this chunk will not need it.
            return None
        name = self._new_name(digest)
        data = await pipeline.work(self._chunks.pack_patch, cut.raw, raw, name)
        if len(data) > MAX_PATCH_SHARE * size:
            return None
        await self._chunks.put(name, data)
        return _chunk(cut, digest, name, base, data)

    async def _whole(self, pipeline: Pipeline[Chunk], cut: Cut, digest: str) -> Chunk:
        name = self._new_name(digest)
        data = await pipeline.work(self._chunks.pack, cut.raw, name)
        await self._chunks.put(name, data)
        return _chunk(cut, digest, name, None, data)

    def _new_name(self, digest: str) -> str:
        self._named += 1
        return chunk_name(digest, self._id, self._named)


def bits_again(collection: SnapshotCollection) -> int | None:
    """How a collection is cut next time: as before, unless its documents are of another size now.

    Another number of bits moves most boundaries, so that most is stored anew.
    """
    if collection.bits is None or not collection.count:
        return collection.bits
    fitting = bits_for(collection.raw_bytes / collection.count)
    return collection.bits if abs(fitting - collection.bits) < MOST_BITS_OFF else None


def _chunk(cut: Cut, digest: str, name: str, base: str | None, data: bytes) -> Chunk:
    return Chunk(digest, name, base, cut.first_id, cut.last_id, cut.count, len(cut.raw), len(data))


def _ignore(count: int) -> None:
    return None
