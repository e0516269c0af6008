"""The cache's first tier: entries in memory, bounded by plan."""

from __future__ import annotations

from collections.abc import Mapping

from blackstart.cdn.entry import Entry
from blackstart.cdn.quota import PlanQuotas


class MemoryTier:
    """Entries by key, least recently used out first within each plan's quota."""

    def __init__(self, quotas: Mapping[str, int]) -> None:
        self.quotas = PlanQuotas(quotas)
        self._entries: dict[str, Entry] = {}

    def get(self, key: str) -> Entry | None:
        """The entry, which counts as used now."""
        entry = self._entries.get(key)
        if entry is not None:
            self.quotas.touch(key)
        return entry

    def put(self, entry: Entry) -> list[str] | None:
        """Keep an entry; returns the keys that had to leave, or None when it can never fit."""
        self.remove(entry.key)
        size = entry.size
        if not self.quotas.fits(entry.plan, size):
            return None
        evicted = self.quotas.put(entry.key, entry.plan, size)
        self._entries[entry.key] = entry
        for key in evicted:
            del self._entries[key]
        return evicted

    def remove(self, key: str) -> None:
        """Drop an entry, if it is here."""
        if self._entries.pop(key, None) is not None:
            self.quotas.remove(key)

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def __len__(self) -> int:
        return len(self._entries)
