"""Where one chunk ends and the next begins: decided by the documents, not by counting.

A document whose `_id` has a certain hash begins a chunk. A change of other
fields thus moves no boundary, and an insert or delete moves at most those
next to it: unchanged ranges have the same chunks in every snapshot. This is
content-defined chunking, as rsync and restic cut files, over sorted keys.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from blackstart.recovery.snapshots.documents import id_of

MEAN_DOCUMENTS = 512
MAX_BYTES = 1024 * 1024
"""A chunk ends at this size of raw BSON, whatever the hashes say; one document may be larger."""


@dataclass(frozen=True)
class Cut:
    """A run of documents in `_id` order, as raw BSON; the identifiers are what `id_of` gives."""

    raw: bytes
    count: int
    first_id: bytes
    last_id: bytes


class Cutter:
    """Takes documents one by one and gives back a `Cut` whenever one is complete."""

    mean_documents = MEAN_DOCUMENTS
    max_bytes = MAX_BYTES

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._ids: list[bytes] = []
        self._size = 0

    def add(self, document: bytes) -> Cut | None:
        """The chunk that ends before this document, if one does."""
        identifier = id_of(document)
        begins = zlib.crc32(identifier) % self.mean_documents == 0
        cut = None
        if self._parts and (begins or self._size + len(document) > self.max_bytes):
            cut = self.rest()
        self._parts.append(document)
        self._ids.append(identifier)
        self._size += len(document)
        return cut

    def rest(self) -> Cut | None:
        """What has gathered since the last cut."""
        if not self._parts:
            return None
        cut = Cut(b"".join(self._parts), len(self._parts), self._ids[0], self._ids[-1])
        self._parts, self._ids, self._size = [], [], 0
        return cut
