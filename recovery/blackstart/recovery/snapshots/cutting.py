"""Where one chunk ends and the next begins: decided by the documents, not by counting.

A document whose `_id` has a certain hash begins a chunk. A change of other
fields thus moves no boundary, and an insert or delete moves at most those
next to it: unchanged ranges have the same chunks in every snapshot. This is
content-defined chunking, as rsync and restic cut files, over sorted keys.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from blackstart.recovery.snapshots.documents import id_of, key_of, split
from blackstart.recovery.snapshots.order import Key

TARGET_BYTES = 256 * 1024
"""What a chunk holds on average, as raw BSON."""
MAX_BYTES = 4 * 1024 * 1024
"""A chunk ends at this size of raw BSON, whatever the hashes say; one document may be larger."""
MAX_TIMES = 8
"""And at so many times the documents of an average one."""
MAX_BITS = 16

_GOLDEN = 0x9E3779B1
_WORD = 0xFFFFFFFF


@dataclass(frozen=True)
class Cut:
    """A run of documents in `_id` order, as raw BSON; the identifiers are what `id_of` gives."""

    raw: bytes
    count: int
    first_id: bytes
    last_id: bytes


class Cutter:
    """Takes the documents of one collection and gives back the cuts that are complete.

    One document in 2 ** `bits` begins a chunk. Without a number it is chosen
    by the first documents' size; the next snapshot is to be given the same.
    `ordered` is False once documents came in another order than `key_of`
    knows, as with a collation: their chunks cannot be searched by halves.
    """

    def __init__(self, bits: int | None = None) -> None:
        self.bits = bits
        self.ordered = True
        self._parts: list[bytes] = []
        self._size = 0
        self._first = b""
        self._last = b""
        self._last_key: Key = ()

    def feed(self, batch: bytes) -> tuple[list[Cut], int]:
        """The chunks that end within a run of whole documents, and how many documents those are."""
        documents = list(split(batch))
        if self.bits is None and documents:
            self.bits = bits_for(len(batch) / len(documents))
        bits = self.bits or 0
        shift, most = 32 - bits, MAX_TIMES << bits
        cuts = []
        for document in documents:
            identifier = id_of(document)
            # The product's high bits depend on all bits of the checksum.
            begins = (zlib.crc32(identifier) * _GOLDEN & _WORD) >> shift == 0
            full = len(self._parts) >= most or self._size + len(document) > MAX_BYTES
            if self._parts and (begins or full):
                cuts.append(self._cut())
            self._add(document, identifier)
        return cuts, len(documents)

    def rest(self) -> list[Cut]:
        """What has gathered since the last cut."""
        return [self._cut()] if self._parts else []

    def _add(self, document: bytes, identifier: bytes) -> None:
        if not self._parts:
            self._first = identifier
        if self.ordered:
            key = key_of(document)
            self.ordered = self._last_key <= key
            self._last_key = key
        self._parts.append(document)
        self._size += len(document)
        self._last = identifier

    def _cut(self) -> Cut:
        cut = Cut(b"".join(self._parts), len(self._parts), self._first, self._last)
        self._parts, self._size = [], 0
        return cut


def bits_for(document_bytes: float) -> int:
    """How rare a beginning is to be for chunks of `TARGET_BYTES`, by the mean document's size."""
    documents = max(1, int(TARGET_BYTES / max(document_bytes, 1.0)))
    return min(MAX_BITS, documents.bit_length() - 1)
