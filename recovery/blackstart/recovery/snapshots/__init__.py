"""Snapshots of the database in the object store: taken chunk by chunk, read without a restore."""

from blackstart.recovery.snapshots.collecting import Collector, Pruning
from blackstart.recovery.snapshots.intervals import Every
from blackstart.recovery.snapshots.manifest import Chunk, Manifest, Snapshot, SnapshotCollection
from blackstart.recovery.snapshots.patient import Gap, PatientReader
from blackstart.recovery.snapshots.reading import SnapshotReader
from blackstart.recovery.snapshots.retention import Keep
from blackstart.recovery.snapshots.schedule import Outcome, Schedule
from blackstart.recovery.snapshots.sealing import Sealer
from blackstart.recovery.snapshots.snapshots import DamagedSnapshot, Listing, Snapshots
from blackstart.recovery.snapshots.verdict import Damage, Kind, State, Verdict
from blackstart.recovery.snapshots.verifying import Verifier

__all__ = [
    "Chunk",
    "Collector",
    "Damage",
    "DamagedSnapshot",
    "Every",
    "Gap",
    "Keep",
    "Kind",
    "Listing",
    "Manifest",
    "Outcome",
    "PatientReader",
    "Pruning",
    "Schedule",
    "Sealer",
    "Snapshot",
    "SnapshotCollection",
    "SnapshotReader",
    "Snapshots",
    "State",
    "Verdict",
    "Verifier",
]
