"""What a database's answer to a write means: executed, not executed, or nobody knows how far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from blackstart.guard.plain import without_values
from blackstart.guard.requests.model import State
from blackstart.guard.rules import Write

DEFINITE = frozenset(
    {2, 9, 13, 14, 20, 26, 27, 48, 59, 67, 68, 72, 73, 85, 86, 115, 251, 10107, 13435, 40415}
)
"""Error codes by which MongoDB refuses a command before it does anything: malformed, not allowed,

no such collection or index, not the primary. Any other may come in the middle of it.
"""
NOT_PRIMARY = frozenset({10107, 13435})
"""Looked at before each statement, so that earlier ones may have run."""
REFUSED_UNREAD = frozenset({13, 59, 115, 40415})
"""What an aggregation is refused with before its first document; all else may come of a later one,

when `$merge` has written a batch.
"""
_WRITTEN = ("n", "nInserted", "nMatched", "nUpserted", "nDeleted")
_COUNTS = {
    "n": "documents",
    "nInserted": "inserted",
    "nMatched": "matched",
    "nModified": "modified",
    "nUpserted": "upserted",
    "nDeleted": "deleted",
    "nErrors": "failed",
}


@dataclass(frozen=True)
class Outcome:
    state: State
    text: str


def outcome_of(answer: Mapping[str, Any], writes: Sequence[Write], name: str = "") -> Outcome:
    """What an answer says about the command of that name with these statements."""
    if answer.get("ok") not in (1, True):
        code, text = answer.get("code"), _told(answer.get("errmsg", "an error without a text"))
        state = State.NOT_EXECUTED if code in _definite(writes, name) else State.UNKNOWN
        return Outcome(state, f"the database refused it: {text} ({code})")
    counts = ", ".join(f"{answer[key]} {what}" for key, what in _COUNTS.items() if key in answer)
    failed, told = _failed(answer)
    if not failed:
        concern = answer.get("writeConcernError")
        note = f"; not confirmed by all: {_told(concern.get('errmsg'))}" if concern else ""
        return Outcome(State.EXECUTED, f"{counts or 'done'}{note}")
    text = f"{counts}; {failed} statements failed, the first with: {told}"
    if any(write.many for write in writes):
        # A statement about many documents that failed may have changed some, and counts none.
        return Outcome(State.UNKNOWN, text)
    written = any(answer.get(key) for key in _WRITTEN)
    return Outcome(State.EXECUTED if written else State.NOT_EXECUTED, text)


def until_committed(outcome: Outcome) -> Outcome:
    """What the outcome of a statement means as long as its transaction has not ended."""
    if outcome.state is not State.EXECUTED:
        return outcome
    return replace(outcome, text=f"{outcome.text}; it counts only if its transaction is committed")


def _definite(writes: Sequence[Write], name: str) -> frozenset[int]:
    """The codes by which this command says that it did nothing at all."""
    if name == "aggregate":
        return REFUSED_UNREAD
    one = len(writes) == 1 and not writes[0].many and len(writes[0].documents) <= 1
    return DEFINITE if one or not writes else DEFINITE - NOT_PRIMARY


def _failed(answer: Mapping[str, Any]) -> tuple[int, str]:
    """How many statements failed, and what the first says; bulkWrite tells it in a cursor."""
    errors = answer.get("writeErrors")
    if errors:
        return len(errors), _told(errors[0].get("errmsg", ""))
    count = answer.get("nErrors", 0)
    cursor = answer.get("cursor")
    results = cursor.get("firstBatch", ()) if isinstance(cursor, Mapping) else ()
    told = [each.get("errmsg", "") for each in results if not each.get("ok")] if count else []
    return int(count), _told(told[0]) if told else ""


def _told(text: object) -> str:
    """The client has the whole of it; the request and the audit trail are for others to read."""
    return without_values(str(text))
