"""The manifest: what a snapshot holds and where, with a checksum of itself.

Two lines of text stand in front of the body, which is BSON under zstd:

    blackstart-snapshot 1 plain
    <SHA-256 of the first line and the body, 64 hex digits>

BSON keeps `_id`s and index specifications exactly as the server has them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import bson
import zstandard

from blackstart.errors import DigestMismatchError
from blackstart.recovery.snapshots.documents import AWARE

MAGIC = b"blackstart-snapshot 1 "
PLAIN = b"plain"
MAX_BODY_BYTES = 2 * 1024 * 1024 * 1024


@dataclass(frozen=True)
class Stored:
    """Bytes in the object store: the name begins with the digest of the raw BSON within."""

    name: str
    bytes: int


@dataclass(frozen=True)
class Chunk:
    """A run of documents in `_id` order.

    `first` and `last` are the `_id`s of its ends, a byte for the type before
    the value. `base` is what it is kept as a patch against, if it is.
    """

    first: bytes
    last: bytes
    count: int
    raw_bytes: int
    digest: str
    stored: Stored
    base: Stored | None = None


@dataclass(frozen=True)
class SnapshotCollection:
    """One collection: how it was made, how it was cut, and its chunks.

    `ordered` says that `_id`s ascend as this package compares them.
    """

    name: str
    options: dict[str, Any]
    indexes: list[dict[str, Any]]
    bits: int
    ordered: bool
    chunks: list[Chunk]

    @property
    def count(self) -> int:
        return sum(chunk.count for chunk in self.chunks)

    @property
    def raw_bytes(self) -> int:
        return sum(chunk.raw_bytes for chunk in self.chunks)


@dataclass(frozen=True)
class Manifest:
    """A whole snapshot. `consistency` is `snapshot` or `document`: see docs/snapshots.md."""

    id: str
    database: str
    taken_at: datetime
    consistency: str
    collections: list[SnapshotCollection]
    left_out: list[str]
    written_bytes: int

    def collection(self, name: str) -> SnapshotCollection | None:
        return next((found for found in self.collections if found.name == name), None)


def encode(manifest: Manifest) -> bytes:
    """The bytes of a manifest."""
    body = zstandard.ZstdCompressor(level=3).compress(bson.encode(_to_bson(manifest)))
    return _sealed_by_checksum(MAGIC + PLAIN + b"\n", body)


def decode(snapshot_id: str, data: bytes) -> Manifest:
    """What `encode` made. Raises: DigestMismatchError, with what is wrong with it."""
    body = _checked(snapshot_id, data)
    try:
        plain = zstandard.ZstdDecompressor().decompress(body, max_output_size=MAX_BODY_BYTES)
        manifest = _from_bson(bson.decode(plain, AWARE))
    except (zstandard.ZstdError, bson.errors.BSONError, KeyError, TypeError, ValueError) as error:
        raise damaged(snapshot_id, "it cannot be decoded") from error
    if manifest.id != snapshot_id:
        raise damaged(snapshot_id, f"it is that of snapshot {manifest.id}")
    return manifest


def damaged(snapshot_id: str, why: str) -> DigestMismatchError:
    return DigestMismatchError(f"the manifest of snapshot {snapshot_id} is damaged: {why}")


def _sealed_by_checksum(head: bytes, body: bytes) -> bytes:
    return head + hashlib.sha256(head + body).hexdigest().encode() + b"\n" + body


def _checked(snapshot_id: str, data: bytes) -> bytes:
    if not data:
        raise damaged(snapshot_id, "it is empty")
    head, _, rest = data.partition(b"\n")
    checksum, _, body = rest.partition(b"\n")
    if not head.startswith(MAGIC):
        raise damaged(snapshot_id, "it does not begin as one")
    if hashlib.sha256(head + b"\n" + body).hexdigest().encode() != checksum:
        raise damaged(snapshot_id, "its bytes do not have its checksum")
    return body


def _to_bson(manifest: Manifest) -> dict[str, Any]:
    return {
        "id": manifest.id,
        "database": manifest.database,
        "taken_at": manifest.taken_at,
        "consistency": manifest.consistency,
        "left_out": manifest.left_out,
        "written_bytes": manifest.written_bytes,
        "collections": [_collection_to_bson(each) for each in manifest.collections],
    }


def _from_bson(raw: dict[str, Any]) -> Manifest:
    collections = [_collection_from_bson(each) for each in raw.pop("collections")]
    return Manifest(**raw, collections=collections)


def _collection_to_bson(collection: SnapshotCollection) -> dict[str, Any]:
    return {
        "name": collection.name,
        "options": collection.options,
        "indexes": collection.indexes,
        "bits": collection.bits,
        "ordered": collection.ordered,
        "chunks": [_chunk_to_bson(chunk) for chunk in collection.chunks],
    }


def _collection_from_bson(raw: dict[str, Any]) -> SnapshotCollection:
    chunks = [_chunk_from_bson(*row) for row in raw.pop("chunks")]
    return SnapshotCollection(**raw, chunks=chunks)


def _chunk_to_bson(chunk: Chunk) -> list[Any]:
    base = None if chunk.base is None else [chunk.base.name, chunk.base.bytes]
    row = [chunk.first, chunk.last, chunk.count, chunk.raw_bytes, chunk.digest]
    return [*row, chunk.stored.name, chunk.stored.bytes, base]


def _chunk_from_bson(
    first: bytes,
    last: bytes,
    count: int,
    raw_bytes: int,
    digest: str,
    name: str,
    size: int,
    base: list[Any] | None,
) -> Chunk:
    kept = Stored(name, size)
    return Chunk(
        first, last, count, raw_bytes, digest, kept, None if base is None else Stored(*base)
    )
