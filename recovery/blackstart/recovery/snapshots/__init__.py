"""Snapshots of the database in the object store: taken chunk by chunk, read without a restore."""

from blackstart.recovery.snapshots.documents import plain
from blackstart.recovery.snapshots.manifest import Chunk, Manifest, SnapshotCollection
from blackstart.recovery.snapshots.reading import SnapshotReader
from blackstart.recovery.snapshots.snapshots import DamagedSnapshot, Listing, Snapshot, Snapshots

__all__ = [
    "Chunk",
    "DamagedSnapshot",
    "Listing",
    "Manifest",
    "Snapshot",
    "SnapshotCollection",
    "SnapshotReader",
    "Snapshots",
    "plain",
]
