"""Snapshots in an object store: take one, list them, open one."""

from __future__ import annotations

from datetime import datetime

from blackstart.clock import Clock
from blackstart.errors import BlackstartError, ObjectNotFoundError
from blackstart.recovery.snapshots.keys import MANIFESTS, manifest_key
from blackstart.recovery.snapshots.manifest import Manifest, decode
from blackstart.recovery.snapshots.reading import SnapshotReader
from blackstart.recovery.snapshots.source import open_source
from blackstart.recovery.snapshots.summary import (
    DamagedSnapshot,
    Listing,
    Snapshot,
    summary_of,
)
from blackstart.recovery.snapshots.taking import Take
from blackstart.seed import Seed
from blackstart.store import MetadataStore, ObjectStore

__all__ = ["DamagedSnapshot", "Listing", "Snapshot", "Snapshots"]


class Snapshots:
    """The snapshots of one object store. Raises (all methods): StorageError."""

    def __init__(self, objects: ObjectStore, *, seed: Seed | None = None) -> None:
        self._objects = objects
        self._seed = seed or Seed.from_entropy()

    async def take(self, store: MetadataStore, clock: Clock) -> Snapshot:
        """Copy every collection of the database into the object store.

        The snapshot exists once its manifest does, which is written last.
        Raises: DatabaseError.
        """
        async with open_source(store.database) as source:
            take = Take(self._objects, self._new_id(clock.now()), store.database.name, clock.now())
            return summary_of(await take.run(source))

    async def listing(self) -> Listing:
        """All there are, oldest first; manifests that cannot be believed are named."""
        snapshots, broken = [], []
        for key in await self._objects.list_keys(MANIFESTS):
            snapshot_id = key.removeprefix(MANIFESTS)
            try:
                snapshots.append(summary_of(await self.manifest(snapshot_id)))
            except ObjectNotFoundError:
                continue
            except BlackstartError as error:
                broken.append(DamagedSnapshot(snapshot_id, error.message))
        return Listing(snapshots, broken)

    async def newest(self, *, before: datetime | None = None) -> Snapshot | None:
        """The one taken last, or last before a moment; None when there is none.

        After a bad write the newest snapshot may hold the damage: say when it
        was. Snapshots whose manifest is damaged are left out: `listing` names them.
        """
        snapshots = (await self.listing()).snapshots
        return next(
            (found for found in reversed(snapshots) if before is None or found.taken_at < before),
            None,
        )

    async def open(self, snapshot_id: str) -> SnapshotReader:
        """Read one snapshot; this reads its manifest and no more.

        Raises: ObjectNotFoundError when there is none; DigestMismatchError
        when its manifest is damaged.
        """
        return SnapshotReader(await self.manifest(snapshot_id), self._objects)

    async def manifest(self, snapshot_id: str) -> Manifest:
        """What a snapshot holds and where. Raises: as `open`."""
        try:
            data = await self._objects.get(manifest_key(snapshot_id))
        except ObjectNotFoundError as error:
            hint = "`blackstart snapshot list` shows those there are"
            raise ObjectNotFoundError(f"no snapshot {snapshot_id}", hint=hint) from error
        return decode(snapshot_id, data)

    def _new_id(self, taken_at: datetime) -> str:
        """Ids sort by time; what is drawn tells two of the same moment apart."""
        at = f"{taken_at:%Y%m%dT%H%M%S}{taken_at.microsecond // 1000:03}Z"
        return f"{at}-{self._seed.new_id()[:8]}"
