"""What can be wrong with a ledger, each by its name and place."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ProblemKind(StrEnum):
    """Kinds of damage; of `unreadable` it is not known whether there is any."""

    TORN_LINE = "torn-line"
    DAMAGED_LINE = "damaged-line"
    MISSING_LINES = "missing-lines"
    MISPLACED_LINE = "misplaced-line"
    BROKEN_CHAIN = "broken-chain"
    NOT_A_RECORD = "not-a-record"
    CUT_SHORT = "cut-short"
    CUT_TAIL = "cut-tail"
    REWRITTEN = "rewritten"
    MISSING_SEGMENT = "missing-segment"
    DIFFERING_COPIES = "differing-copies"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class LogProblem:
    """`writer` and `segment` say where, as far as it is known; `text` is one line for people."""

    kind: ProblemKind
    text: str
    writer: str | None = None
    segment: int | None = None
