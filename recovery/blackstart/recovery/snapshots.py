"""Snapshots of the database in the bucket: a full copy, its manifest written last.

The copy is read in `_id` order and cut into parts, each named by the digest
of its bytes; a snapshot exists once its manifest does, so one that was
interrupted is never listed.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import bson
from bson.codec_options import CodecOptions

from blackstart.clock import Clock
from blackstart.errors import DigestMismatchError, StorageError
from blackstart.store import MetadataStore, ObjectStore

PREFIX = "snapshots/"
PART_DOCUMENTS = 2_000
_AWARE: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True, tzinfo=UTC)


@dataclass(frozen=True)
class Snapshot:
    """What a manifest says: when it was taken, how many deploys it holds, in which parts."""

    id: str
    taken_at: datetime
    deploy_count: int
    parts: list[str]

    def encode(self) -> bytes:
        return json.dumps({**asdict(self), "taken_at": self.taken_at.isoformat()}).encode()

    @classmethod
    def decode(cls, data: bytes) -> Snapshot:
        """Raises: StorageError when it is no manifest."""
        try:
            fields = json.loads(data)
            return cls(**{**fields, "taken_at": datetime.fromisoformat(fields["taken_at"])})
        except (ValueError, TypeError, KeyError) as error:
            raise StorageError(f"a snapshot manifest cannot be read: {error}") from error


class Snapshots:
    """Take, list and read snapshots of the `deploys` collection in an object store."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    async def take(self, store: MetadataStore, clock: Clock) -> Snapshot:
        """Copy every deploy document into the bucket. Raises: StorageError."""
        taken_at = clock.now()
        parts: list[str] = []
        batch: list[bytes] = []
        count = 0
        async for raw in store.deploys.scan_raw():
            batch.append(bson.encode(raw))
            count += 1
            if len(batch) == PART_DOCUMENTS:
                parts.append(await self._put_part(batch))
                batch = []
        if batch:
            parts.append(await self._put_part(batch))
        snapshot = Snapshot(_snapshot_id(taken_at), taken_at, count, parts)
        await self._objects.put(_manifest_key(snapshot.id), snapshot.encode())
        return snapshot

    async def all(self) -> list[Snapshot]:
        """Every snapshot, oldest first."""
        keys = await self._objects.list_keys(f"{PREFIX}manifests/")
        return [Snapshot.decode(await self._objects.get(key)) for key in keys]

    async def newest(self, *, before: datetime | None = None) -> Snapshot | None:
        """The one taken last, or last before a moment; None when there is none.

        After a bad write the newest snapshot may hold the damage: say when it was.
        """
        snapshots = await self.all()
        return next(
            (found for found in reversed(snapshots) if before is None or found.taken_at < before),
            None,
        )

    async def deploys(self, snapshot: Snapshot) -> AsyncIterator[dict[str, Any]]:
        """Every deploy document in a snapshot, in `_id` order.

        Raises: ObjectNotFoundError or DigestMismatchError when a part is missing or damaged.
        """
        for digest in snapshot.parts:
            data = await self._objects.get(_part_key(digest))
            if hashlib.sha256(data).hexdigest() != digest:
                raise DigestMismatchError(f"snapshot {snapshot.id}: part {digest} is damaged")
            for raw in bson.decode_all(zlib.decompress(data), _AWARE):
                yield raw

    async def _put_part(self, documents: list[bytes]) -> str:
        data = zlib.compress(b"".join(documents), level=1)
        digest = hashlib.sha256(data).hexdigest()
        await self._objects.put(_part_key(digest), data)
        return digest


def _snapshot_id(taken_at: datetime) -> str:
    """Ids sort by time, to the clock's millisecond: two of one second never share a manifest."""
    return f"{taken_at:%Y%m%dT%H%M%S}{taken_at.microsecond // 1000:03}Z"


def _manifest_key(snapshot_id: str) -> str:
    return f"{PREFIX}manifests/{snapshot_id}.json"


def _part_key(digest: str) -> str:
    return f"{PREFIX}parts/{digest[:2]}/{digest[2:]}"
