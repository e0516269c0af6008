"""Reading a snapshot where it lies: one document, or all of a collection, without a restore."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument

from blackstart.errors import BlackstartError, DigestMismatchError
from blackstart.recovery.snapshots.chunks import Chunks
from blackstart.recovery.snapshots.documents import id_document, key_of, split
from blackstart.recovery.snapshots.manifest import Chunk, Manifest, Snapshot
from blackstart.recovery.snapshots.order import Key, id_key

CACHED_CHUNKS = 32


class SnapshotReader:
    """One snapshot's documents, by collection.

    Opening it has read the manifest; each look-up reads one chunk, and its base when it is
    kept as a patch. The chunks read last are kept at hand.

    Raises (all methods): ObjectNotFoundError or DigestMismatchError for a chunk that is missing
    or damaged, in a text that names snapshot, collection and chunk; StorageError.
    """

    def __init__(self, manifest: Manifest, chunks: Chunks) -> None:
        self.manifest = manifest
        self._chunks = chunks
        self._recent: OrderedDict[str, list[bytes]] = OrderedDict()
        self._keys: dict[str, list[Key]] = {}

    @property
    def snapshot(self) -> Snapshot:
        return self.manifest.snapshot

    def collections(self) -> list[str]:
        """Names, sorted."""
        return sorted(self.manifest.collections)

    def count(self, collection: str) -> int:
        """How many documents; 0 for a collection that it does not hold."""
        found = self.manifest.collections.get(collection)
        return found.count if found else 0

    def indexes(self, collection: str) -> list[dict[str, Any]]:
        """Index specs as `listIndexes` gave them."""
        found = self.manifest.collections.get(collection)
        return [dict(each) for each in found.indexes] if found else []

    def is_ordered(self, collection: str) -> bool:
        """Whether `_id`s ascend as `id_key` compares them; under a collation they may not."""
        found = self.manifest.collections.get(collection)
        return found is None or found.ordered

    def options(self, collection: str) -> dict[str, Any]:
        """What `listCollections` gave as its options."""
        found = self.manifest.collections.get(collection)
        return dict(found.options) if found else {}

    def raw_bytes(self, collection: str) -> int:
        """How large its documents are together, as BSON."""
        found = self.manifest.collections.get(collection)
        return found.raw_bytes if found else 0

    async def get(self, collection: str, _id: Any) -> RawBSONDocument | None:
        """The document with an `_id`, None when there is none."""
        wanted = id_key(_id)
        if not self.is_ordered(collection):
            return await self._search(collection, wanted)
        chunk = self._chunk_of(collection, wanted)
        if chunk is None:
            return None
        documents = await self._open(collection, chunk)
        at = bisect_right(documents, wanted, key=key_of) - 1
        found = at >= 0 and key_of(documents[at]) == wanted
        return RawBSONDocument(documents[at]) if found else None

    async def scan(self, collection: str, *, start: Any = None) -> AsyncIterator[RawBSONDocument]:
        """Documents in `_id` order, all or from the `_id` `start` on; one chunk is held at once."""
        from_key = None if start is None else id_key(start)
        # A collation has an order of its own: then all are read, and those past the start given.
        ordered = self.is_ordered(collection)
        for chunk in self._chunks_from(collection, from_key):
            raw = await self._read(collection, chunk)
            for document in split(raw):
                if from_key is None or key_of(document) >= from_key:
                    yield RawBSONDocument(document)
                    # In order, all that follow come after the start as well.
                    from_key = None if ordered else from_key

    def chunk_list(self, collection: str) -> tuple[Chunk, ...]:
        """The chunks of a collection, in `_id` order."""
        found = self.manifest.collections.get(collection)
        return found.chunks if found else ()

    async def documents_of(self, collection: str, chunk: Chunk) -> list[RawBSONDocument]:
        """The documents of one chunk."""
        return [RawBSONDocument(each) for each in split(await self._read(collection, chunk))]

    def _chunks_from(self, collection: str, from_key: Key | None) -> tuple[Chunk, ...]:
        chunks = self.chunk_list(collection)
        if from_key is None or not self.is_ordered(collection):
            return chunks
        return chunks[max(0, bisect_right(self._first_keys(collection), from_key) - 1) :]

    async def _search(self, collection: str, wanted: Key) -> RawBSONDocument | None:
        async for document in self.scan(collection):
            if key_of(bytes(document.raw)) == wanted:
                return document
        return None

    def _chunk_of(self, collection: str, wanted: Key) -> Chunk | None:
        at = bisect_right(self._first_keys(collection), wanted) - 1
        if at < 0:
            return None
        chunk = self.chunk_list(collection)[at]
        return chunk if wanted <= key_of(id_document(chunk.last_id)) else None

    def _first_keys(self, collection: str) -> list[Key]:
        if collection not in self._keys:
            chunks = self.chunk_list(collection)
            self._keys[collection] = [key_of(id_document(chunk.first_id)) for chunk in chunks]
        return self._keys[collection]

    async def _open(self, collection: str, chunk: Chunk) -> list[bytes]:
        if chunk.digest in self._recent:
            self._recent.move_to_end(chunk.digest)
            return self._recent[chunk.digest]
        documents = list(split(await self._read(collection, chunk)))
        self._recent[chunk.digest] = documents
        if len(self._recent) > CACHED_CHUNKS:
            self._recent.popitem(last=False)
        return documents

    async def _read(self, collection: str, chunk: Chunk) -> bytes:
        try:
            return await self._chunks.read(chunk)
        except BlackstartError as error:
            where = f"snapshot {self.snapshot.id}, collection {collection}: {error.message}"
            raise type(error)(where, hint=error.hint) from error
        except (ValueError, bson.errors.InvalidBSON) as error:
            where = f"snapshot {self.snapshot.id}, collection {collection}"
            raise DigestMismatchError(f"{where}: chunk {chunk.name} is no BSON: {error}") from error
