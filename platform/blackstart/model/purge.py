"""Purges as orders in a log: numbered, and each chained to the one before it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

BEGINNING = "0"
"""The position before the first order."""


@dataclass(frozen=True, slots=True)
class What:
    """What nodes are to forget: all with one of the tags, the pages at some URLs, or everything.

    A soft purge lets them keep it, stale, to cover for a failing origin.
    """

    tags: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    everything: bool = False
    soft: bool = False

    def to_json(self) -> dict[str, Any]:
        """As a node reads it, and as MongoDB keeps it."""
        return {
            "tags": list(self.tags),
            "urls": list(self.urls),
            "everything": self.everything,
            "soft": self.soft,
        }


@dataclass(frozen=True, slots=True)
class PurgeOrder:
    """One order. `generation` counts from 1; `mark` tells it from another of that number.

    There is another when the database went back to an earlier state: whoever
    has seen orders that are no longer in the log must be noticed. `after` is
    the position of the order before.
    """

    generation: int
    mark: str
    after: str
    what: What
    at: datetime

    @property
    def position(self) -> str:
        """Where a node is that has carried it out."""
        return f"{self.generation}-{self.mark}"


def generation_of(position: str) -> int:
    """The number in a position. Raises: ValueError when it is none."""
    return int(position.partition("-")[0])
