"""The words of the rules: what a command is, what becomes of it, and what it would write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Change = Mapping[str, Any] | Sequence[Mapping[str, Any]]
"""What an update does: operators, a whole new document, or a pipeline."""


class Decision(StrEnum):
    """What becomes of a command."""

    PASS = "pass"
    HOLD = "hold"
    REFUSE = "refuse"


class Kind(StrEnum):
    """What a command is; docs/guard.md tells them apart."""

    SESSION = "session"
    READ = "read"
    ONE = "one"
    SEVERAL = "several"
    STRUCTURAL = "structural"
    CONTROL = "control"
    FORBIDDEN = "forbidden"
    UNKNOWN = "unknown"


class Action(StrEnum):
    """What one statement does to documents."""

    INSERT = "insert"
    UPDATE = "update"
    REMOVE = "remove"


@dataclass(frozen=True)
class Write:
    """One statement of a write command.

    `documents` counts those an insert brings. `options` are the statement's own
    (`collation`, `arrayFilters`, `hint`, `let`, `sort`, `c`), as they came.
    """

    action: Action
    database: str
    collection: str
    filter: Mapping[str, Any] = field(default_factory=dict)
    change: Change | None = None
    many: bool = False
    upsert: bool = False
    documents: Sequence[Any] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    pinned: bool = False
    """Whether the filter names one document by its `_id`."""

    @property
    def namespace(self) -> str:
        return f"{self.database}.{self.collection}"


class NotKnownError(Exception):
    """A command has a part that the rules do not know; it must not pass. Never leaves the rules."""


class NotAllowedError(Exception):
    """A command has a part that is known and never let through. Never leaves the rules."""
