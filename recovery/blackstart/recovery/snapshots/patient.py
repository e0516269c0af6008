"""A reader that goes on past damaged chunks, and remembers what they would have held."""

from __future__ import annotations

from dataclasses import dataclass

from blackstart.errors import BlackstartError, DigestMismatchError, ObjectNotFoundError
from blackstart.recovery.snapshots.chunks import Chunks
from blackstart.recovery.snapshots.documents import id_document, key_of
from blackstart.recovery.snapshots.manifest import Chunk, Manifest
from blackstart.recovery.snapshots.order import Key
from blackstart.recovery.snapshots.reading import SnapshotReader


@dataclass(frozen=True)
class Gap:
    """A run of documents that cannot be read, from the first `_id` to the last, and why."""

    collection: str
    chunk: Chunk
    why: str
    ordered: bool = True

    def covers(self, key: Key) -> bool:
        """Whether a document with this key may be one of them."""
        if not self.ordered:
            return True
        first, last = (
            key_of(id_document(end)) for end in (self.chunk.first_id, self.chunk.last_id)
        )
        return first <= key <= last


class PatientReader(SnapshotReader):
    """Reads like `SnapshotReader`; a chunk that is missing or damaged holds nothing.

    Whoever uses it must look at `gaps` in the end, and say what was not read.
    Raises (all methods): StorageError.
    """

    def __init__(self, manifest: Manifest, chunks: Chunks) -> None:
        super().__init__(manifest, chunks)
        self._gaps: dict[tuple[str, str], Gap] = {}

    @property
    def gaps(self) -> list[Gap]:
        """All that could not be read so far."""
        return list(self._gaps.values())

    def gap_at(self, collection: str, key: Key) -> Gap | None:
        """Where a document with this key may have stood; known once that was looked for."""
        here = (gap for gap in self._gaps.values() if gap.collection == collection)
        return next((gap for gap in here if gap.covers(key)), None)

    def gap_of(self, collection: str, chunk: Chunk) -> Gap | None:
        """What a chunk that was read turned out to be."""
        return self._gaps.get((collection, chunk.digest))

    async def _read(self, collection: str, chunk: Chunk) -> bytes:
        try:
            return await super()._read(collection, chunk)
        except (ObjectNotFoundError, DigestMismatchError) as error:
            self._note(collection, chunk, error)
            return b""

    def _note(self, collection: str, chunk: Chunk, error: BlackstartError) -> None:
        gap = Gap(collection, chunk, error.message, self.is_ordered(collection))
        self._gaps.setdefault((collection, chunk.digest), gap)
