"""Answers from memory that may be given again as they are, so that a hit makes none."""

from __future__ import annotations

from blackstart.cdn.message import Response
from blackstart.cdn.metrics import PlanCounts
from blackstart.cdn.storage.entry import Entry

WARM_ANSWERS = 1024
WARM_BYTES = 8 * 1024 * 1024
"""Of bodies. They stay here although the cache may have let go of them: its quota knows nothing
of these."""


class WarmAnswer:
    """What every plain request for a page gets `until` a time, unless `entry` is stale by then."""

    __slots__ = ("counts", "entry", "response", "size", "until")

    def __init__(self, response: Response, until: float, entry: Entry, counts: PlanCounts) -> None:
        self.response = response
        self.until = until
        self.entry = entry
        self.counts = counts
        self.size = entry.size


class Warm:
    """The answers by the keys of their pages; once there are too many, all go.

    Whoever holds the pages calls `drop` with each change of one.
    """

    def __init__(self) -> None:
        self.answers: dict[str, WarmAnswer] = {}
        self._bytes = 0

    def keep(self, key: str, warm: WarmAnswer) -> None:
        """Note an answer, in the place of an older one for the same page."""
        self.drop(key)
        if len(self.answers) >= WARM_ANSWERS or self._bytes + warm.size > WARM_BYTES:
            self.answers.clear()
            self._bytes = 0
        self._bytes += warm.size
        self.answers[key] = warm

    def drop(self, key: str) -> None:
        """The page is another one now, or none."""
        warm = self.answers.pop(key, None)
        if warm is not None:
            self._bytes -= warm.size
