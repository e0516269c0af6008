"""What a database's answer to a write means: executed, not executed, or nobody knows how far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from blackstart.guard.requests.model import State
from blackstart.guard.rules import Write

DEFINITE = frozenset(
    {2, 9, 13, 14, 20, 26, 27, 48, 59, 67, 68, 72, 73, 85, 86, 115, 251, 10107, 13435, 40415}
)
"""Error codes by which MongoDB refuses a command before it does anything: malformed, not allowed,

no such collection or index, not the primary. Any other may come in the middle of it.
"""


@dataclass(frozen=True)
class Outcome:
    state: State
    text: str


def outcome_of(answer: Mapping[str, Any], writes: Sequence[Write]) -> Outcome:
    """What an answer says about a command with these statements."""
    if answer.get("ok") not in (1, True):
        code, text = answer.get("code"), str(answer.get("errmsg", "an error without a text"))
        state = State.NOT_EXECUTED if code in DEFINITE else State.UNKNOWN
        return Outcome(state, f"the database refused it: {text} ({code})")
    failed = answer.get("writeErrors") or ()
    counts = _counts(answer)
    if not failed:
        concern = answer.get("writeConcernError")
        note = f"; not confirmed by all: {concern.get('errmsg')}" if concern else ""
        return Outcome(State.EXECUTED, f"{counts}{note}")
    first = failed[0].get("errmsg", "")
    text = f"{counts}; {len(failed)} statements failed, the first with: {first}"
    # A statement about many documents that failed may have changed some, and does not count them.
    parts_unknown = any(write.many for write in writes)
    return Outcome(State.UNKNOWN if parts_unknown else State.EXECUTED, text)


def _counts(answer: Mapping[str, Any]) -> str:
    names = {"n": "documents", "nModified": "modified", "nErrors": "failed"}
    parts = [f"{answer[key]} {name}" for key, name in names.items() if key in answer]
    return ", ".join(parts) or "done"
