"""A warning that may be due a thousand times a second, and is written at most once."""

from __future__ import annotations

import structlog

from blackstart.clock import Clock, is_paused

PAUSE_S = 1.0


class Complaints:
    """Writes the first warning at once, then at most one a second.

    `more` in a line says how many others went unwritten since the line before.
    """

    def __init__(self, clock: Clock, log: structlog.stdlib.BoundLogger, event: str) -> None:
        self._clock = clock
        self._log = log
        self._event = event
        self._due_at = 0.0
        self._more = 0

    def warn(self, **fields: object) -> None:
        """Write it, or count it for the next line."""
        now = self._clock.time()
        if is_paused(now, self._due_at, PAUSE_S):
            self._more += 1
            return
        self._due_at = now + PAUSE_S
        if self._more:
            fields["more"] = self._more
            self._more = 0
        self._log.warning(self._event, **fields)

    def close(self) -> None:
        """Say how many went unwritten in the end."""
        if self._more:
            self._log.warning(self._event, more=self._more)
            self._more = 0
