"""Sources of lost metadata: what each has for a broken deploy, and what is wrong with it."""

from blackstart.recovery.sources.announced import AnnouncedSource
from blackstart.recovery.sources.every import DeadSource, every_source, snapshot_sources
from blackstart.recovery.sources.pointer_log import PointerLogSource
from blackstart.recovery.sources.snapshot import SnapshotSource
from blackstart.recovery.sources.source import Broken, Offer, Refusal, Route, Source
from blackstart.recovery.sources.tree_scan import TreeScanSource

__all__ = [
    "AnnouncedSource",
    "Broken",
    "DeadSource",
    "Offer",
    "PointerLogSource",
    "Refusal",
    "Route",
    "SnapshotSource",
    "Source",
    "TreeScanSource",
    "every_source",
    "snapshot_sources",
]
