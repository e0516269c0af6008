"""Snapshots of the database in the object store: taken chunk by chunk, read without a restore."""

from blackstart.recovery.snapshots.manifest import Chunk, Manifest, Snapshot, SnapshotCollection
from blackstart.recovery.snapshots.reading import SnapshotReader
from blackstart.recovery.snapshots.sealing import Sealer
from blackstart.recovery.snapshots.snapshots import DamagedSnapshot, Listing, Snapshots

__all__ = [
    "Chunk",
    "DamagedSnapshot",
    "Listing",
    "Manifest",
    "Sealer",
    "Snapshot",
    "SnapshotCollection",
    "SnapshotReader",
    "Snapshots",
]
