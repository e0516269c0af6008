"""Reads the audit trail: every line that can be believed, and what is wrong with the others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from blackstart.guard.audit.trail import AUDIT
from blackstart.store.ledger import LedgerReading, Line, SegmentName
from blackstart.store.ledger.times import read_time, time_text
from blackstart.store.objects import ObjectStore


@dataclass(frozen=True)
class AuditLine:
    """One line as it was read; `seq` is its number among its writer's."""

    writer: str
    seq: int
    at: datetime
    action: str
    details: Mapping[str, Any]

    @classmethod
    def at_line(cls, name: SegmentName, line: Line) -> AuditLine:
        """Raises: ValueError when the line is no line of an audit trail."""
        details = dict(line.fields)
        at, action = read_time(details.pop("at", None)), details.pop("action", None)
        if not isinstance(action, str) or not action:
            raise ValueError("it does not say what happened")
        return cls(name.writer, line.position.seq, at, action, details)

    def row(self) -> dict[str, Any]:
        """As an export has it."""
        return {
            "writer": self.writer,
            "seq": self.seq,
            "at": time_text(self.at),
            "action": self.action,
            **self.details,
        }


AuditReading = LedgerReading[AuditLine]


def read_trail(
    objects: ObjectStore, folder: Path | None = None, heads: Path | None = None
) -> AuditReading:
    """One pass over all lines, in the object store and still in a local folder.

    After it `problems` names whatever was changed, removed, put in, moved or cut off.
    """
    return LedgerReading(AUDIT, AuditLine.at_line, objects, folder, heads)


@dataclass(frozen=True)
class Wanted:
    """Which lines to show; None means any."""

    since: datetime | None = None
    login: str | None = None
    action: str | None = None
    request: int | None = None

    def takes(self, line: AuditLine) -> bool:
        if self.since is not None and line.at < self.since:
            return False
        if self.login is not None and line.details.get("login") != self.login:
            return False
        if self.request is not None and line.details.get("request") != self.request:
            return False
        return self.action is None or line.action.startswith(self.action)


async def lines_of(reading: AuditReading, wanted: Wanted) -> AsyncIterator[AuditLine]:
    """Those lines that are wanted, writer by writer."""
    async for line in reading:
        if wanted.takes(line):
            yield line
