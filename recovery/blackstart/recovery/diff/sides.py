"""The two things that are compared: a snapshot, or the database as it is now."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Container
from contextlib import aclosing
from typing import Protocol

from blackstart.recovery.snapshots import Chunk, Gap, PatientReader
from blackstart.recovery.snapshots.documents import key_of, split
from blackstart.recovery.snapshots.order import Key
from blackstart.recovery.snapshots.source import Inventory, Source
from blackstart.recovery.snapshots.windows import in_order

CHUNKS_AT_ONCE = 4
Progress = Callable[[int], None]
"""Told how many documents were looked at since it was told last."""
Item = tuple[Key, bytes] | Gap


class Side(Protocol):
    """Documents by collection, in `_id` order where `is_ordered`."""

    def collections(self) -> list[str]: ...

    def is_ordered(self, collection: str) -> bool: ...

    def chunk_list(self, collection: str) -> tuple[Chunk, ...]: ...

    def documents(
        self, collection: str, passed_over: Container[str], progress: Progress
    ) -> AsyncIterator[Item]:
        """All but those of the chunks with these digests. Raises: StorageError, DatabaseError."""
        ...


class SnapshotSide:
    """A snapshot; a few chunks are read ahead."""

    def __init__(self, reader: PatientReader) -> None:
        self._reader = reader

    def collections(self) -> list[str]:
        return self._reader.collections()

    def is_ordered(self, collection: str) -> bool:
        return self._reader.is_ordered(collection)

    def chunk_list(self, collection: str) -> tuple[Chunk, ...]:
        return self._reader.chunk_list(collection)

    async def documents(
        self, collection: str, passed_over: Container[str], progress: Progress
    ) -> AsyncIterator[Item]:
        async def read(chunk: Chunk) -> tuple[Chunk, list[bytes]]:
            documents = await self._reader.documents_of(collection, chunk)
            return chunk, [bytes(each.raw) for each in documents]

        chunks = [each for each in self.chunk_list(collection) if each.digest not in passed_over]
        async with aclosing(in_order(chunks, read, CHUNKS_AT_ONCE)) as found:
            async for chunk, documents in found:
                progress(chunk.count)
                gap = self._reader.gap_of(collection, chunk)
                if gap is not None:
                    yield gap
                for document in documents:
                    yield key_of(document), document


class LiveSide:
    """The database, read as a snapshot of it would be taken."""

    def __init__(self, source: Source, inventory: Inventory) -> None:
        self._source = source
        self._inventory = inventory

    def collections(self) -> list[str]:
        return list(self._inventory.collections)

    def is_ordered(self, collection: str) -> bool:
        options, _ = self._inventory.collections.get(collection, ({}, []))
        return "collation" not in options

    def chunk_list(self, collection: str) -> tuple[Chunk, ...]:
        """It has none: all of it is read."""
        return ()

    async def documents(
        self, collection: str, passed_over: Container[str], progress: Progress
    ) -> AsyncIterator[Item]:
        async with aclosing(self._source.batches(collection)) as batches:
            async for batch in batches:
                documents = list(split(batch))
                progress(len(documents))
                for document in documents:
                    yield key_of(document), document
