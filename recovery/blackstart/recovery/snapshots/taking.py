"""Taking a snapshot: read, cut, store what is new, and write the manifest last."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from obstore.store import MemoryStore

from blackstart.clock import Clock
from blackstart.errors import BlackstartError
from blackstart.recovery.snapshots.chunks import MAX_PATCH_SHARE, Chunks
from blackstart.recovery.snapshots.cutting import Cut, Cutter
from blackstart.recovery.snapshots.documents import split
from blackstart.recovery.snapshots.keys import TAKES, manifest_key
from blackstart.recovery.snapshots.leases import Lease
from blackstart.recovery.snapshots.manifest import Chunk, Manifest, Snapshot, SnapshotCollection
from blackstart.recovery.snapshots.source import Database, Source, collections_of, reading

AT_ONCE = 4
"""Chunks that are packed and stored while more documents are read."""

Progress = Callable[[int], None]
Result = TypeVar("Result")


class Take:
    """One snapshot in the making."""

    def __init__(self, chunks: Chunks, clock: Clock, snapshot_id: str) -> None:
        self._chunks = chunks
        self._clock = clock
        self._id = snapshot_id
        self._lease = Lease(chunks.objects, clock, f"{TAKES}{snapshot_id}")
        self._known: dict[str, Chunk] = {}
        self._begins: dict[tuple[str, bytes], Chunk] = {}
        # In memory nothing blocks, and a drill's order must not depend on threads.
        self._threads = not isinstance(chunks.objects.backend, MemoryStore)
        self._at_once = AT_ONCE if self._threads else 1
        self._stored_bytes = 0

    async def begin(self) -> None:
        """Say that a snapshot is being taken. Raises: StorageError."""
        await self._lease.hold()

    async def end(self) -> None:
        """Say that nobody is at it any more."""
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
        listed = await collections_of(database)
        collections = {}
        async with reading(database) as source:
            for name, (options, indexes) in listed.items():
                chunks = await self._collection(source, name, progress or _ignore)
                collections[name] = SnapshotCollection(tuple(chunks), tuple(indexes), options)
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
        )
        manifest = Manifest(snapshot, collections)
        await self._lease.hold()
        await self._chunks.objects.put(manifest_key(self._id), manifest.encode(self._chunks.sealer))
        return manifest

    def _build_on(self, previous: Manifest) -> None:
        self._known = previous.chunks()
        # A range that changed is a patch of what began at the same document before.
        self._begins = {
            (name, chunk.first_id): chunk
            for name, each in previous.collections.items()
            for chunk in each.chunks
        }

    async def _collection(self, source: Source, name: str, progress: Progress) -> list[Chunk]:
        done: list[Chunk] = []
        under_way: deque[asyncio.Task[Chunk]] = deque()
        cutter = Cutter()
        try:
            async for batch in source.batches(name):
                cuts, count = _cut(cutter, batch)
                for cut in cuts:
                    under_way.append(self._begin_to_store(name, cut))
                    while len(under_way) >= self._at_once:
                        done.append(await under_way.popleft())
                progress(count)
            if (last := cutter.rest()) is not None:
                under_way.append(self._begin_to_store(name, last))
            while under_way:
                done.append(await under_way.popleft())
        finally:
            await _end(under_way)
        return done

    def _begin_to_store(self, name: str, cut: Cut) -> asyncio.Task[Chunk]:
        return asyncio.get_running_loop().create_task(self._store(name, cut))

    async def _store(self, collection: str, cut: Cut) -> Chunk:
        """Store one chunk, unless the previous snapshot has it."""
        digest = await self._work(lambda: self._chunks.digest(cut.raw))
        if (known := self._known.get(digest)) is not None:
            return known
        await self._lease.hold()
        chunk = await self._patched(collection, cut, digest) or await self._whole(cut, digest)
        self._stored_bytes += chunk.stored_bytes
        return chunk

    async def _patched(self, collection: str, cut: Cut, digest: str) -> Chunk | None:
        """Store it as a patch of what was there before, if that is worth it."""
        before = self._begins.get((collection, cut.first_id))
        if before is None:
            return None
        base = before.base or before.digest
        try:
            raw, size = await self._chunks.read_base(base)
        except BlackstartError:
            # A base that cannot be read is no reason to fail: this chunk will not need it.
            return None
        name = f"{digest}.{base}"
        data = await self._work(lambda: self._chunks.pack_patch(cut.raw, raw, name))
        if len(data) > MAX_PATCH_SHARE * size:
            return None
        await self._chunks.put(name, data)
        return _chunk(cut, digest, base, data)

    async def _whole(self, cut: Cut, digest: str) -> Chunk:
        data = await self._work(lambda: self._chunks.pack(cut.raw, digest))
        await self._chunks.put(digest, data)
        return _chunk(cut, digest, None, data)

    async def _work(self, work: Callable[[], Result]) -> Result:
        return await asyncio.to_thread(work) if self._threads else work()


def _cut(cutter: Cutter, batch: bytes) -> tuple[list[Cut], int]:
    cuts, count = [], 0
    for document in split(batch):
        count += 1
        if (cut := cutter.add(document)) is not None:
            cuts.append(cut)
    return cuts, count


def _chunk(cut: Cut, digest: str, base: str | None, data: bytes) -> Chunk:
    return Chunk(digest, base, cut.first_id, cut.last_id, cut.count, len(cut.raw), len(data))


def _ignore(count: int) -> None:
    return None


async def _end(tasks: deque[asyncio.Task[Chunk]]) -> None:
    """No write goes on behind the back of whoever stopped."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled():
                task.exception()
