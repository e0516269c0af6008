"""What responders ask an audit trail: which write touched a field last, and what it left there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from blackstart.guard.audit import AuditLine, AuditReading, Wanted, lines_of
from blackstart.guard.redact import is_whole


@dataclass(frozen=True)
class Culprit:
    """One write that ran: whose, when it was sent, what it set, and what the database said.

    `left` is what it set the field to.
    """

    request: int
    login: str
    sent_at: datetime
    left: Any
    outcome: str


async def last_write(reading: AuditReading, collection: str, field: str) -> Culprit | None:
    """The newest of the held writes that were sent and set this field; None when there is none."""
    held: dict[int, AuditLine] = {}
    sent: dict[int, AuditLine] = {}
    ended: dict[int, str] = {}
    async for line in lines_of(reading, Wanted(action="write.")):
        number = int(line.details.get("request", 0))
        if line.action == "write.held":
            held[number] = line
        elif line.action == "write.sent":
            sent[number] = line
        elif line.action == "write.ended":
            ended[number] = line.details["outcome"]
    for number in sorted(sent, reverse=True):
        asked = held[number].details
        found = _set_to(asked["command"], collection, field)
        if found is not None:
            outcome = ended.get(number, "no answer yet")
            return Culprit(number, asked["login"], sent[number].at, found, outcome)
    return None


def _set_to(command: Mapping[str, Any], collection: str, field: str) -> Any:
    """What an update of a collection sets a field to; None for any other command.

    None as well where the trail does not show all of it.
    """
    if command.get("update") != collection:
        return None
    for statement in command.get("updates", ()):
        change = statement.get("u", {}).get("$set", {})
        if field in change and is_whole(change[field]):
            return change[field]
    return None
