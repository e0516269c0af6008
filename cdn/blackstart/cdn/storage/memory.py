"""The first tier: bodies in memory, bounded by plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from blackstart.cdn.storage.entry import Entry
from blackstart.cdn.storage.quota import PlanQuotas

# What an entry costs beside its body, head and key; benchmarks/cdn_memory.py prints it.
ENTRY_BYTES = 512


def cost(entry: Entry, body_bytes: int) -> int:
    """What an entry counts for in its plan's memory."""
    return ENTRY_BYTES + entry.text_bytes + body_bytes


class MemoryTier:
    """Which entries have their body in memory, and who of them has to leave."""

    def __init__(self, quotas: Mapping[str, int], *, largest_share: float) -> None:
        self.quotas: PlanQuotas[Entry] = PlanQuotas(quotas, largest_share=largest_share)

    def largest_body(self, entry: Entry) -> int:
        """The longest body that is kept for this entry; below 0 when none is."""
        return self.quotas.largest(entry.plan) - cost(entry, 0)

    def room_for(self, entry: Entry, size: int) -> Iterator[Entry]:
        """Take out who has to leave before this entry's body fits."""
        while (victim := self.quotas.victim(entry.plan, cost(entry, size))) is not None:
            self.remove(victim)
            yield victim

    def put(self, entry: Entry, body: bytes) -> None:
        """Keep the body of an entry that has none here; ask `room_for` first."""
        entry.body = body
        self.quotas.add(entry, entry.plan, cost(entry, len(body)))

    def remove(self, entry: Entry) -> None:
        """Let go of an entry's body, if it is here."""
        if entry.body is not None:
            self.quotas.remove(entry, entry.plan, cost(entry, len(entry.body)))
            entry.body = None
