"""The audit trail: who asked the database for what, on record before it runs.

A line says when, what happened (`action`), and its details. What changes data
is recorded, durable before it runs; what only reads is noted, durable soon.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from blackstart.clock import Clock
from blackstart.events import Events
from blackstart.seed import Seed
from blackstart.store.ledger import FileLedger, Ledger, open_ledger
from blackstart.store.ledger.times import time_text
from blackstart.store.objects import ObjectStore

AUDIT = Ledger(
    title="audit trail",
    mark="audit_trail",
    prefix="audit/",
    refusal="nothing runs that is not on record; try again when that is mended",
)
OWN_FIELDS = frozenset({"seq", "after", "sum", "at", "action"})


@dataclass(frozen=True)
class AuditEntry:
    """One line before it is written; details are plain values, as JSON has them."""

    at: datetime
    action: str
    details: Mapping[str, Any]

    def fields(self) -> dict[str, Any]:
        return {"at": time_text(self.at), "action": self.action, **self.details}


class AuditTrail:
    """Writes lines under one writer's name."""

    def __init__(self, ledger: FileLedger[AuditEntry], clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    async def record(self, action: str, **details: Any) -> None:
        """A line that is durable when this returns.

        Raises: StorageError, and then what was to be recorded must not happen.
        """
        await self._ledger.record(self._entry(action, details))

    def note(self, action: str, **details: Any) -> None:
        """A line that is durable soon: for what changes nothing.

        Raises: StorageError when lines cannot be written; no reads off the record either.
        """
        self._ledger.note(self._entry(action, details))

    def _entry(self, action: str, details: Mapping[str, Any]) -> AuditEntry:
        assert not OWN_FIELDS & details.keys(), f"{action} has a line's own field"
        return AuditEntry(self._clock.now(), action, details)


class NoTrail:
    """Where the safeguard is off: nobody will know what was run."""

    async def record(self, action: str, **details: Any) -> None:
        pass

    def note(self, action: str, **details: Any) -> None:
        pass


class Trail(Protocol):
    """Takes lines: an audit trail, or what stands in its place."""

    async def record(self, action: str, **details: Any) -> None: ...

    def note(self, action: str, **details: Any) -> None: ...


class TellingTrail:
    """A trail that says, once it is on record, what becomes of a held write."""

    def __init__(self, trail: Trail, events: Events) -> None:
        self._trail = trail
        self._events = events

    async def record(self, action: str, **details: Any) -> None:
        await self._trail.record(action, **details)
        if "request" in details:
            self._events(action, f"request {details['request']}", **details)

    def note(self, action: str, **details: Any) -> None:
        self._trail.note(action, **details)


@asynccontextmanager
async def open_trail(
    folder: Path,
    heads: Path,
    role: str,
    objects: ObjectStore,
    *,
    clock: Clock,
    seed: Seed,
    events: Events,
) -> AsyncIterator[AuditTrail]:
    """The audit trail of one process: lines in `folder`, and heads kept apart in `heads`.

    Closed segments and heads are moved to the object store. Raises: StorageError.
    """
    async with open_ledger(
        AUDIT, folder, role, objects, clock=clock, seed=seed, events=events, heads=heads
    ) as ledger:
        yield AuditTrail(ledger, clock)
