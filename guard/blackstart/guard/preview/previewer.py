"""The previewer: what a held write would do, found out by reads within a bound of time."""

from __future__ import annotations

import pymongo
from bson.errors import BSONError
from pymongo.errors import PyMongoError

from blackstart.clock import Clock
from blackstart.guard.preview.model import Part, Preview
from blackstart.guard.preview.reads import Client, Reads
from blackstart.guard.preview.sight import Sight
from blackstart.guard.preview.statements import foresee
from blackstart.guard.preview.structural import foresee_structural
from blackstart.guard.redact import Redaction
from blackstart.guard.rules import Kind, Verdict

BUDGET_S = 10.0
STATEMENTS = 50


class Previewer:
    """Makes previews over the guard's own connection to the database."""

    def __init__(
        self, client: Client, clock: Clock, redact: Redaction, *, budget_s: float = BUDGET_S
    ) -> None:
        """`redact` is the one by which commands are shown: what it leaves out is not shown here."""
        self._reads = Reads(client)
        self._clock = clock
        self._redact = redact
        self._budget_s = budget_s

    async def of(self, verdict: Verdict) -> Preview:
        """What a command, or a whole transaction, would do.

        It never fails: what could not be found out stands in the notes.
        """
        parts: list[Part] = []
        notes: list[str] = []
        try:
            with pymongo.timeout(self._budget_s):
                await self._gather(verdict, parts)
        except (PyMongoError, BSONError) as error:
            notes.append(f"the rest could not be foreseen: {Sight.error(error)}")
        left = len(verdict.writes) - STATEMENTS
        if left > 0:
            notes.append(f"{left} more statements were not looked at")
        return Preview(tuple(parts), tuple(notes))

    async def _gather(self, verdict: Verdict, parts: list[Part]) -> None:
        sight = Sight(self._reads, self._redact, self._clock.now())
        for write in verdict.writes[:STATEMENTS]:
            parts.append(await foresee(write, sight))
        if not verdict.writes and verdict.kind in (Kind.STRUCTURAL, Kind.CONTROL):
            parts += await foresee_structural(verdict, sight)
