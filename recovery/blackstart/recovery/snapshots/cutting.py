"""Where a collection is cut into chunks: where a hash of an `_id` says so, whatever else changes.

Two snapshots that hold the same `_id`s are cut at the same places, and one
document more or less moves no cut but its own: that is what lets a chunk be
compared with the one before it. The idea is content-defined chunking, as in
LBFS (Muthitacharoen, Chen, Mazieres, 2001), with documents in place of bytes.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

from blackstart.recovery.snapshots.documents import id_of, key_of, split
from blackstart.recovery.snapshots.order import Key

TARGET_BYTES = 256 * 1024
"""What a chunk holds on average, as raw BSON."""
MAX_BYTES = 4 * 1024 * 1024
"""A chunk ends before it would be larger, unless a single document is."""
MAX_TIMES = 8
"""A chunk ends after so many times the documents of an average one."""
MAX_BITS = 16

_GOLDEN = 0x9E3779B1
_WORD = 0xFFFFFFFF


@dataclass(frozen=True)
class Cut:
    """A run of documents that makes a chunk: raw BSON, and the `_id`s at its ends."""

    first: bytes
    last: bytes
    count: int
    raw: bytes


@dataclass
class Cutter:
    """Cuts one collection's documents, given in `_id` order.

    On average there is a cut after one document in 2 ** `bits`. `ordered`
    turns False when the documents did not come in the order that this package
    knows, as with a collation: their chunks cannot be searched by halves then.
    """

    bits: int
    ordered: bool = True
    _parts: list[bytes] = field(default_factory=list)
    _bytes: int = 0
    _first: bytes = b""
    _last: bytes = b""
    _last_key: Key = ()

    def feed(self, batch: bytes) -> list[Cut]:
        """The chunks that end within a batch of whole documents."""
        cuts = []
        limit = MAX_TIMES << self.bits
        shift = 32 - self.bits
        for document in split(batch):
            identifier = id_of(document)
            if self._parts and self._bytes + len(document) > MAX_BYTES:
                cuts.append(self._cut())
            self._add(document, identifier)
            # Multiplying mixes a checksum's bits upwards: the high ones are as good as drawn.
            mixed = (zlib.crc32(identifier) * _GOLDEN) & _WORD
            if mixed >> shift == 0 or len(self._parts) >= limit:
                cuts.append(self._cut())
        return cuts

    def end(self) -> list[Cut]:
        """What is left."""
        return [self._cut()] if self._parts else []

    def _add(self, document: bytes, identifier: bytes) -> None:
        if not self._parts:
            self._first = identifier
        key = key_of(identifier)
        if key < self._last_key:
            self.ordered = False
        self._parts.append(document)
        self._bytes += len(document)
        self._last, self._last_key = identifier, key

    def _cut(self) -> Cut:
        cut = Cut(self._first, self._last, len(self._parts), b"".join(self._parts))
        self._parts, self._bytes = [], 0
        return cut


def bits_for(document_bytes: float) -> int:
    """How rare a cut has to be for chunks of `TARGET_BYTES`, by the mean size of a document."""
    documents = max(1, int(TARGET_BYTES / max(document_bytes, 1.0)))
    return min(MAX_BITS, documents.bit_length() - 1)
