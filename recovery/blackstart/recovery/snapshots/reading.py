"""A snapshot opened: documents by `_id` or in order, straight from the object store."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Any

from bson.raw_bson import RawBSONDocument

from blackstart.errors import DigestMismatchError, NotFoundError, ObjectNotFoundError
from blackstart.recovery.snapshots.documents import id_of, key_of, raw_document, split
from blackstart.recovery.snapshots.keys import chunk_key
from blackstart.recovery.snapshots.manifest import Chunk, Manifest, SnapshotCollection
from blackstart.recovery.snapshots.order import id_key
from blackstart.recovery.snapshots.packing import PackingError, digest_of, unpack
from blackstart.recovery.snapshots.summary import Snapshot, summary_of
from blackstart.store import ObjectStore

CACHED_CHUNKS = 4


class SnapshotReader:
    """Reads one snapshot; opening it took its manifest only.

    Every chunk is compared with its digest when it is read. Raises (`get`,
    `scan`, `chunk`): DigestMismatchError or ObjectNotFoundError, naming
    snapshot, collection and chunk; StorageError; NotFoundError for a
    collection that the snapshot does not hold.
    """

    def __init__(self, manifest: Manifest, objects: ObjectStore) -> None:
        self.manifest = manifest
        self.snapshot: Snapshot = summary_of(manifest)
        self._objects = objects
        self._cached: OrderedDict[str, bytes] = OrderedDict()

    def collections(self) -> list[str]:
        """The names of the collections, sorted."""
        return sorted(each.name for each in self.manifest.collections)

    def count(self, collection: str) -> int:
        """How many documents a collection holds. Raises: NotFoundError."""
        return self._of(collection).count

    def indexes(self, collection: str) -> list[dict[str, Any]]:
        """Its index specifications as `listIndexes` gives them. Raises: NotFoundError."""
        return self._of(collection).indexes

    def options(self, collection: str) -> dict[str, Any]:
        """What it was created with, as `listCollections` has it. Raises: NotFoundError."""
        return self._of(collection).options

    async def get(self, collection: str, _id: Any) -> RawBSONDocument | None:
        """The document with that `_id`; reads one chunk, and its base when it is a patch."""
        found = self._of(collection)
        key = id_key(_id)
        if found.ordered:
            at = bisect_right(found.chunks, key, key=lambda chunk: key_of(chunk.first)) - 1
            chunks = [] if at < 0 or key_of(found.chunks[at].last) < key else [found.chunks[at]]
        else:
            chunks = found.chunks
        for chunk in chunks:
            for document in split(await self.chunk(collection, chunk)):
                if key_of(id_of(document)) == key:
                    return raw_document(document)
        return None

    async def scan(self, collection: str, *, start: Any = None) -> AsyncIterator[RawBSONDocument]:
        """Documents in `_id` order, from `start` on; one chunk is held at a time."""
        found = self._of(collection)
        begin, everything = id_key(start), start is None
        for chunk in found.chunks:
            if found.ordered and not everything and key_of(chunk.last) < begin:
                continue
            for document in split(await self.chunk(collection, chunk)):
                if everything or key_of(id_of(document)) >= begin:
                    yield raw_document(document)

    async def chunk(self, collection: str, chunk: Chunk) -> bytes:
        """A chunk's documents as one run of BSON, its digest checked."""
        if chunk.stored.name in self._cached:
            self._cached.move_to_end(chunk.stored.name)
            return self._cached[chunk.stored.name]
        base = None
        packed = await self._read(collection, chunk, chunk.stored.name)
        if chunk.base is not None:
            base = await self._read_base(collection, chunk, chunk.base.name)
        try:
            raw = unpack(packed, chunk.raw_bytes, base)
        except PackingError as error:
            raise self._damaged(collection, chunk, str(error)) from error
        if digest_of(raw) != chunk.digest:
            raise self._damaged(collection, chunk, "its documents have another digest")
        self._keep(chunk.stored.name, raw)
        return raw

    async def _read_base(self, collection: str, chunk: Chunk, name: str) -> bytes:
        if name not in self._cached:
            packed = await self._read(collection, chunk, name)
            try:
                self._keep(name, unpack(packed, None))
            except PackingError as error:
                raise self._damaged(collection, chunk, f"its base {name}: {error}") from error
        return self._cached[name]

    async def _read(self, collection: str, chunk: Chunk, name: str) -> bytes:
        try:
            return await self._objects.get(chunk_key(name))
        except ObjectNotFoundError as error:
            what = f"{self._where(collection, chunk)} is missing: no object {chunk_key(name)}"
            raise ObjectNotFoundError(what) from error

    def _keep(self, name: str, raw: bytes) -> None:
        self._cached[name] = raw
        while len(self._cached) > CACHED_CHUNKS:
            self._cached.popitem(last=False)

    def _damaged(self, collection: str, chunk: Chunk, why: str) -> DigestMismatchError:
        return DigestMismatchError(f"{self._where(collection, chunk)} is damaged: {why}")

    def _where(self, collection: str, chunk: Chunk) -> str:
        return f"snapshot {self.snapshot.id}: chunk {chunk.digest} of {collection}"

    def _of(self, collection: str) -> SnapshotCollection:
        found = self.manifest.collection(collection)
        if found is None:
            raise NotFoundError(f"snapshot {self.snapshot.id} holds no collection {collection!r}")
        return found
