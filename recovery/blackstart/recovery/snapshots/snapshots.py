"""The snapshots in a bucket: take one, list them, open one."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import bson
from bson.codec_options import CodecOptions

from blackstart.clock import Clock
from blackstart.errors import (
    BlackstartError,
    DigestMismatchError,
    NotFoundError,
    ObjectNotFoundError,
    StorageError,
    UsageError,
)
from blackstart.recovery.snapshots.chunks import Chunks
from blackstart.recovery.snapshots.keys import MANIFESTS, manifest_key
from blackstart.recovery.snapshots.manifest import (
    ABANDONED,
    Manifest,
    Snapshot,
    decode,
    decode_summary,
)
from blackstart.recovery.snapshots.patient import PatientReader
from blackstart.recovery.snapshots.reading import SnapshotReader
from blackstart.recovery.snapshots.sealing import Sealer
from blackstart.recovery.snapshots.source import Database
from blackstart.recovery.snapshots.taking import Progress, Take
from blackstart.seed import Seed
from blackstart.store import ObjectStore

_AWARE: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True)
_SEE_LIST = "`blackstart snapshot list` shows them"
_ID = re.compile(r"\d{8}T\d{9}Z-[0-9a-f]{6}")


@dataclass(frozen=True)
class DamagedSnapshot:
    """A manifest that is there and cannot be read: listed by name, never passed over."""

    id: str
    reason: str


@dataclass(frozen=True)
class Listing:
    """What the bucket holds, oldest first."""

    snapshots: tuple[Snapshot, ...]
    damaged: tuple[DamagedSnapshot, ...]


class Snapshots:
    """All snapshots in an object store. Raises (all methods): StorageError."""

    def __init__(self, objects: ObjectStore, *, sealer: Sealer | None = None) -> None:
        self._objects = objects
        self.chunks = Chunks(objects, sealer)

    async def take(
        self, database: Database, clock: Clock, seed: Seed, *, progress: Progress | None = None
    ) -> Snapshot:
        """Copy every collection into the bucket.

        Raises: DatabaseError; ConflictError when it stood still for so long that it was given up.
        """
        take = await self._begin(clock, seed)
        try:
            previous = await self._previous(database.name)
            return (await take.run(database, previous, progress)).snapshot
        finally:
            await take.end()

    async def _begin(self, clock: Clock, seed: Seed) -> Take:
        token = seed.new_bytes(8).hex()
        while True:
            take = Take(self.chunks, clock, _new_id(clock.now(), seed), token)
            if await take.begin():
                return take

    async def listing(self) -> Listing:
        """Every snapshot, and every manifest that cannot be read."""
        snapshots, damaged = [], []
        for key in await self._objects.list_keys(MANIFESTS):
            snapshot_id = key.removeprefix(MANIFESTS)
            try:
                data = await self._objects.get(key)
                if data != ABANDONED:
                    snapshots.append(decode_summary(data, snapshot_id))
            except ObjectNotFoundError:
                continue
            except DigestMismatchError as error:
                damaged.append(DamagedSnapshot(snapshot_id, error.message))
        return Listing(tuple(snapshots), tuple(damaged))

    async def all(self) -> list[Snapshot]:
        """Every snapshot that can be listed, oldest first."""
        return list((await self.listing()).snapshots)

    async def newest(self, *, before: datetime | None = None) -> Snapshot | None:
        """The one taken last, or last before a moment; None when there is none.

        After a bad write the newest snapshot may hold the damage: say when it was.
        """
        found = [each for each in await self.all() if before is None or each.taken_at < before]
        return found[-1] if found else None

    async def resolve(self, text: str, database: str) -> str:
        """The id that a person means: all of it, its beginning, or `newest` of a database.

        Raises: NotFoundError, UsageError when several begin so.
        """
        if _ID.fullmatch(text):
            return text
        listing = await self.listing()
        if text == "newest":
            found = [each.id for each in listing.snapshots if each.database == database][-1:]
        else:
            ids = [each.id for each in listing.snapshots] + [each.id for each in listing.damaged]
            found = [each for each in ids if text and each.startswith(text)]
        if len(found) > 1:
            raise UsageError(f"{len(found)} snapshots begin with {text!r}", hint=_SEE_LIST)
        if not found:
            what = f"no snapshot of {database}" if text == "newest" else f"no snapshot {text!r}"
            raise NotFoundError(what, hint=_SEE_LIST)
        return found[0]

    async def manifest(self, snapshot_id: str) -> Manifest:
        """Raises: NotFoundError, DigestMismatchError, UsageError when no key is set."""
        if not _ID.fullmatch(snapshot_id):
            raise UsageError(f"{snapshot_id!r} is no snapshot's id", hint=_SEE_LIST)
        data = await self._finished(snapshot_id)
        return decode(data, snapshot_id, self.chunks.sealer)

    async def open(self, snapshot_id: str) -> SnapshotReader:
        """Read a manifest, and no more. Raises: as `manifest`."""
        return SnapshotReader(await self.manifest(snapshot_id), self.chunks)

    async def open_patiently(self, snapshot_id: str) -> PatientReader:
        """As `open`, for whoever goes on past damaged chunks. Raises: as `manifest`."""
        return PatientReader(await self.manifest(snapshot_id), self.chunks)

    async def deploys(self, snapshot: Snapshot) -> AsyncIterator[dict[str, Any]]:
        """Every deploy document in a snapshot, in `_id` order, as the database gives it."""
        reader = await self.open(snapshot.id)
        async for raw in reader.scan("deploys"):
            yield bson.decode(raw.raw, _AWARE)

    async def has_since(self, database: str, since: datetime, until: datetime) -> bool:
        """Whether a snapshot of a database was begun from `since` to `until`.

        Only those that came since are read. What is damaged does not count.
        """
        for snapshot_id in await self._newest_first():
            begun = time_of_id(snapshot_id)
            if begun is None or begun < since:
                break
            try:
                found = decode_summary(await self._finished(snapshot_id), snapshot_id)
            except (NotFoundError, DigestMismatchError):
                continue
            if found.database == database and found.taken_at <= until:
                return True
        return False

    async def _previous(self, database: str) -> Manifest | None:
        """What a new snapshot of a database can build on; older ones are not read."""
        sealed = self.chunks.sealer is not None
        for snapshot_id in await self._newest_first():
            try:
                data = await self._finished(snapshot_id)
                snapshot = decode_summary(data, snapshot_id)
                if snapshot.database == database and snapshot.sealed == sealed:
                    return decode(data, snapshot_id, self.chunks.sealer)
            except StorageError:
                raise
            except BlackstartError:
                # It is damaged, gone, or under another key: an older one may do.
                continue
        return None

    async def _newest_first(self) -> list[str]:
        keys = await self._objects.list_keys(MANIFESTS)
        return [key.removeprefix(MANIFESTS) for key in reversed(keys)]

    async def _finished(self, snapshot_id: str) -> bytes:
        """A manifest as it lies there. Raises: NotFoundError."""
        try:
            data = await self._objects.get(manifest_key(snapshot_id))
        except ObjectNotFoundError as error:
            raise NotFoundError(f"no snapshot {snapshot_id}", hint=_SEE_LIST) from error
        if data == ABANDONED:
            raise NotFoundError(f"snapshot {snapshot_id} was never finished", hint=_SEE_LIST)
        return data


def time_of_id(snapshot_id: str) -> datetime | None:
    """When a snapshot was begun, to the second, as its id tells; None for what is no id."""
    if not _ID.fullmatch(snapshot_id):
        return None
    return datetime.strptime(snapshot_id[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)


def _new_id(at: datetime, seed: Seed) -> str:
    """Ids sort by time, to the millisecond; two of one millisecond still differ."""
    drawn = seed.random.getrandbits(24)
    return f"{at:%Y%m%dT%H%M%S}{at.microsecond // 1000:03}Z-{drawn:06x}"
