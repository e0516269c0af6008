"""A check: what was expected against what was observed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from blackstart.drills.evidence import Evidence


class Status(StrEnum):
    """A check that could not run is unknown, which never counts as passed."""

    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Check:
    """One verdict; `expected` and `observed` are sentences a person can compare."""

    id: str
    title: str
    expected: str
    observed: str
    status: Status


@dataclass(frozen=True)
class Finding:
    """What a rule found: a sentence, and whether it is as expected (None: cannot tell)."""

    observed: str
    as_expected: bool | None


@dataclass(frozen=True)
class Rule:
    """A check before it is run: its judge is a pure function of the evidence."""

    id: str
    title: str
    expected: Callable[[Evidence], str]
    judge: Callable[[Evidence], Finding]

    def run(self, evidence: Evidence) -> Check:
        """Judge the evidence. Evidence that cannot be read makes the check unknown."""
        try:
            finding = self.judge(evidence)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            finding = Finding(f"could not be judged: {type(error).__name__}: {error}", None)
        status = {True: Status.PASSED, False: Status.FAILED, None: Status.UNKNOWN}
        return Check(
            self.id,
            self.title,
            self.expected(evidence),
            finding.observed,
            status[finding.as_expected],
        )

    def not_run(self, evidence: Evidence, why: str) -> Check:
        """The check of a drill that did not get that far."""
        return Check(self.id, self.title, self.expected(evidence), why, Status.UNKNOWN)


def some(things: Sequence[object], most: int = 3) -> str:
    """A few of many, for a sentence: `a, b, c and 4 more`."""
    shown = ", ".join(str(thing) for thing in things[:most])
    return f"{shown} and {len(things) - most} more" if len(things) > most else shown
