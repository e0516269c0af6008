"""What a node keeps: stored responses in memory and on disk, bounded by plan, purged by tag."""

from blackstart.cdn.storage.cache import Cache
from blackstart.cdn.storage.disk import DiskTier
from blackstart.cdn.storage.entry import Entry
from blackstart.cdn.storage.fetch import Fetch
from blackstart.cdn.storage.intake import Intake
from blackstart.cdn.storage.quota import DEFAULT_PLAN, DEFAULT_QUOTAS, MEBIBYTE

__all__ = [
    "DEFAULT_PLAN",
    "DEFAULT_QUOTAS",
    "MEBIBYTE",
    "Cache",
    "DiskTier",
    "Entry",
    "Fetch",
    "Intake",
]
