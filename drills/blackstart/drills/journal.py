"""The journal: everything observable of a drill, in order, as JSON lines."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from blackstart.drills.world.clock import VirtualClock


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened; `offset_s` counts from the fault, in seconds."""

    offset_s: float
    actor: str
    action: str
    subject: str
    details: dict[str, Any]

    def line(self) -> str:
        """The entry as one line of JSON."""
        return json.dumps(
            {
                "offset_s": self.offset_s,
                "actor": self.actor,
                "action": self.action,
                "subject": self.subject,
                **self.details,
            },
            separators=(",", ":"),
        )


class Journal:
    """Append-only; callable as the platform's `Events`, so services write to it directly."""

    def __init__(self, clock: VirtualClock, t0: float) -> None:
        self._clock = clock
        self._t0 = t0
        self._entries: list[Entry] = []
        self._by_action: dict[str, list[Entry]] = {}

    def __call__(self, action: str, subject: str, **details: Any) -> None:
        offset_s = round(self._clock.time() - self._t0, 3)
        entry = Entry(offset_s, self._clock.actor_name, action, subject, details)
        self._entries.append(entry)
        self._by_action.setdefault(action, []).append(entry)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def since(self, index: int) -> list[Entry]:
        """The entries from the `index`-th on."""
        return self._entries[index:]

    def of(self, *actions: str) -> list[Entry]:
        """The entries of some actions, in order."""
        if len(actions) == 1:
            return list(self._by_action.get(actions[0], ()))
        wanted = frozenset(actions)
        return [entry for entry in self._entries if entry.action in wanted]

    def lines(self) -> Iterator[str]:
        """The journal as JSON lines."""
        for entry in self._entries:
            yield entry.line()

    def sha256(self) -> str:
        """Of all lines with their line ends: equal for equal drills."""
        digest = hashlib.sha256()
        for line in self.lines():
            digest.update(line.encode())
            digest.update(b"\n")
        return digest.hexdigest()
