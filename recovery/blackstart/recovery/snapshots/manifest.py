"""What a snapshot is: its collections, and of which chunks each consists.

A manifest is one object: a line of JSON that says what follows and with which
SHA-256, then the chunk index, compressed and perhaps sealed. It is written
last, so that a snapshot exists when it does.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import zstandard
from bson import json_util

from blackstart.errors import BlackstartError, DigestMismatchError, UsageError
from blackstart.recovery.snapshots.keys import chunk_key, manifest_key
from blackstart.recovery.snapshots.sealing import KEY_VARIABLE, Sealer

FORMAT = "blackstart-snapshot-1"
ABANDONED = b"abandoned\n"
"""Stands in place of the manifest of a take that died, so that it cannot come after all."""
MAX_INDEX_BYTES = 1 << 30
# Canonical: an option that is a double or a long comes back as one.
_EXACT = json_util.JSONOptions(json_mode=json_util.JSONMode.CANONICAL)


@dataclass(frozen=True)
class Chunk:
    """One run of documents in `_id` order: which, how many, and under which digest.

    `name` is what it is kept under, the digest and which take wrote it: no
    object is ever written twice, so that one which nobody needs stays so.
    `base` is the name of the chunk it is kept as a patch of, None when it
    stands alone. `stored_bytes` is its size in the object store.
    """

    digest: str
    name: str
    base: str | None
    first_id: bytes
    last_id: bytes
    count: int
    raw_bytes: int
    stored_bytes: int


@dataclass(frozen=True)
class SnapshotCollection:
    """One collection: its chunks in `_id` order, its indexes and options as MongoDB lists them.

    It was cut with `bits`. `ordered` says that `_id`s ascend as this package
    compares them; under a collation they may not.
    """

    chunks: tuple[Chunk, ...]
    indexes: tuple[dict[str, Any], ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    bits: int | None = None
    ordered: bool = True

    @property
    def count(self) -> int:
        return sum(chunk.count for chunk in self.chunks)

    @property
    def raw_bytes(self) -> int:
        return sum(chunk.raw_bytes for chunk in self.chunks)


@dataclass(frozen=True)
class Snapshot:
    """A snapshot in a list: when it was taken, of what, and how much it holds.

    `consistent` says whether all collections show the same moment, that of `taken_at`.
    `left_out` names what was not copied, and why.
    """

    id: str
    taken_at: datetime
    database: str
    consistent: bool
    counts: Mapping[str, int]
    raw_bytes: int
    stored_bytes: int
    sealed: bool = False
    left_out: tuple[str, ...] = ()

    @property
    def document_count(self) -> int:
        return sum(self.counts.values())

    @property
    def deploy_count(self) -> int:
        return self.counts.get("deploys", 0)

    @property
    def is_empty(self) -> bool:
        """Whether it holds no deploys: a backup of nothing."""
        return self.deploy_count == 0


@dataclass(frozen=True)
class Manifest:
    """A snapshot with its chunk index."""

    snapshot: Snapshot
    collections: Mapping[str, SnapshotCollection]
    views: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def chunks(self) -> dict[str, Chunk]:
        """Every chunk by its digest."""
        found = (chunk for each in self.collections.values() for chunk in each.chunks)
        return {chunk.digest: chunk for chunk in found}

    def names(self) -> set[str]:
        """The names of all objects it needs, the bases of patches among them."""
        chunks = [chunk for each in self.collections.values() for chunk in each.chunks]
        return {chunk.name for chunk in chunks} | {chunk.base for chunk in chunks if chunk.base}

    def keys(self) -> set[str]:
        """Where in the object store these lie."""
        return {chunk_key(name) for name in self.names()}

    def encode(self, sealer: Sealer | None) -> bytes:
        snapshot = self.snapshot
        rows = {name: _rows(each) for name, each in self.collections.items()}
        index = json.dumps({"collections": rows, "views": _exact(self.views)})
        body = zstandard.compress(index.encode(), 3)
        if sealer:
            body = sealer.seal(body, manifest_key(snapshot.id))
        head = {
            "format": FORMAT,
            "id": snapshot.id,
            "taken_at": snapshot.taken_at.isoformat(),
            "database": snapshot.database,
            "consistent": snapshot.consistent,
            "counts": dict(snapshot.counts),
            "raw_bytes": snapshot.raw_bytes,
            "stored_bytes": snapshot.stored_bytes,
            "sealed": sealer is not None,
            "left_out": list(snapshot.left_out),
        }
        return _with_sum(head, body)


def decode_summary(data: bytes, snapshot_id: str) -> Snapshot:
    """What a list shows. Raises: DigestMismatchError for a manifest that is damaged."""
    return _summary(_checked(data, snapshot_id)[0], snapshot_id)


def decode(data: bytes, snapshot_id: str, sealer: Sealer | None) -> Manifest:
    """A manifest with its index.

    Raises: DigestMismatchError when it is damaged, UsageError when it is sealed and no key is set.
    """
    head, body = _checked(data, snapshot_id)
    snapshot = _summary(head, snapshot_id)
    if snapshot.sealed:
        if sealer is None:
            raise UsageError(f"snapshot {snapshot_id} is sealed", hint=f"set {KEY_VARIABLE}")
        body = sealer.open(body, manifest_key(snapshot_id))
    try:
        index = json.loads(
            zstandard.ZstdDecompressor().decompress(body, max_output_size=MAX_INDEX_BYTES)
        )
        collections = {name: _collection(rows) for name, rows in index["collections"].items()}
        views = _as_it_was(index["views"])
    except (ValueError, TypeError, KeyError, zstandard.ZstdError) as error:
        raise _damaged(snapshot_id, str(error)) from error
    return Manifest(snapshot, collections, views)


def _with_sum(head: Mapping[str, Any], body: bytes) -> bytes:
    told = json.dumps(head, sort_keys=True, separators=(",", ":")).encode()
    sha256 = hashlib.sha256(told + b"\n" + body).hexdigest().encode()
    return sha256 + b"\n" + told + b"\n" + body


def _checked(data: bytes, snapshot_id: str) -> tuple[dict[str, Any], bytes]:
    sha256, _, rest = data.partition(b"\n")
    if hashlib.sha256(rest).hexdigest().encode() != sha256:
        raise _damaged(snapshot_id, "its bytes have another digest")
    told, _, body = rest.partition(b"\n")
    try:
        head = json.loads(told)
    except ValueError as error:
        raise _damaged(snapshot_id, str(error)) from error
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise _damaged(snapshot_id, "it is of a format this version does not read")
    return head, body


def _summary(head: Mapping[str, Any], snapshot_id: str) -> Snapshot:
    try:
        found = Snapshot(
            id=head["id"],
            taken_at=datetime.fromisoformat(head["taken_at"]),
            database=head["database"],
            consistent=head["consistent"],
            counts=head["counts"],
            raw_bytes=head["raw_bytes"],
            stored_bytes=head["stored_bytes"],
            sealed=head["sealed"],
            left_out=tuple(head["left_out"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(snapshot_id, str(error)) from error
    if found.id != snapshot_id:
        raise _damaged(snapshot_id, f"it is that of {found.id}")
    return found


def _rows(collection: SnapshotCollection) -> dict[str, Any]:
    return {
        "bits": collection.bits,
        "ordered": collection.ordered,
        "options": _exact(collection.options),
        "indexes": _exact(collection.indexes),
        "chunks": [
            [
                chunk.digest,
                chunk.name.removeprefix(chunk.digest),
                chunk.base,
                b64encode(chunk.first_id).decode(),
                b64encode(chunk.last_id).decode(),
                chunk.count,
                chunk.raw_bytes,
                chunk.stored_bytes,
            ]
            for chunk in collection.chunks
        ],
    }


def _collection(rows: Mapping[str, Any]) -> SnapshotCollection:
    chunks = (
        Chunk(digest, digest + rest, base, b64decode(first), b64decode(last), *numbers)
        for digest, rest, base, first, last, *numbers in rows["chunks"]
    )
    return SnapshotCollection(
        tuple(chunks),
        tuple(_as_it_was(rows["indexes"])),
        _as_it_was(rows["options"]),
        bits=rows["bits"],
        ordered=rows["ordered"],
    )


def _exact(value: Any) -> str:
    """BSON's types in text. Slow, so for little: the rows of chunks hold none."""
    return json_util.dumps(value, json_options=_EXACT)


def _as_it_was(text: str) -> Any:
    return json_util.loads(text, json_options=_EXACT)


def _damaged(snapshot_id: str, why: str) -> BlackstartError:
    return DigestMismatchError(f"the manifest of snapshot {snapshot_id} is damaged: {why}")
