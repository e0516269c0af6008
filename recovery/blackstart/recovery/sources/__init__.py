"""Sources of lost metadata: what each has for a broken deploy, and what is wrong with it."""

from blackstart.recovery.sources.announced import AnnouncedSource
from blackstart.recovery.sources.snapshot import SnapshotSource
from blackstart.recovery.sources.source import Broken, Offer, Refusal, Route, Source

__all__ = [
    "AnnouncedSource",
    "Broken",
    "Offer",
    "Refusal",
    "Route",
    "SnapshotSource",
    "Source",
]
