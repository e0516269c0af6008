"""Answers from memory that may be given again as they are, so that a hit makes none."""

from __future__ import annotations

from dataclasses import dataclass

from blackstart.cdn.message import Response
from blackstart.cdn.storage.entry import Entry

WARM_ANSWERS = 1024
WARM_BYTES = 8 * 1024 * 1024
"""Of bodies. They stay here although the cache may have let go of them: its quota knows nothing
of these."""


@dataclass(frozen=True, slots=True)
class WarmAnswer:
    """An answer that is right `until` a time."""

    response: Response
    until: float


class Warm:
    """The answers by their entries; once there are too many, all go."""

    def __init__(self) -> None:
        self.answers: dict[Entry, WarmAnswer] = {}
        self._bytes = 0

    def keep(self, entry: Entry, response: Response, until: float) -> WarmAnswer:
        """Note an answer, in the place of an older one for the same entry."""
        if entry in self.answers:
            self._bytes -= entry.size
        elif len(self.answers) >= WARM_ANSWERS or self._bytes + entry.size > WARM_BYTES:
            self.answers.clear()
            self._bytes = 0
        self._bytes += entry.size
        warm = self.answers[entry] = WarmAnswer(response, until)
        return warm
