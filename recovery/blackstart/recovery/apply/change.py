"""One change of a run: what is compared, what is set, and how it went."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """What became of one deploy of a plan.

    `applied`: this run changed it. `already`: it was as planned before.
    `changed`: it was neither as the plan saw it nor as planned, and was left
    alone. `gone`: there is no such document. `failed`: refused, with a reason.
    """

    APPLIED = "applied"
    ALREADY = "already"
    CHANGED = "changed"
    GONE = "gone"
    FAILED = "failed"
    NO_ROUTE = "no-route"


@dataclass(frozen=True)
class Swap:
    """Put `put` where `expect` stands, in one deploy: documents of some of its fields.

    A field that `expect` or `put` lacks is one that the deploy lacks.
    """

    deploy_id: str
    expect: dict[str, Any]
    put: dict[str, Any]


@dataclass
class Tally:
    """How a run went: how many of each outcome, and the first ones that went otherwise."""

    counts: dict[Outcome, int] = field(default_factory=lambda: dict.fromkeys(Outcome, 0))
    named: list[tuple[str, Outcome, str]] = field(default_factory=list)

    NAMED = 1_000

    def add(self, deploy_id: str, outcome: Outcome, why: str = "") -> None:
        self.counts[outcome] += 1
        quiet = outcome in (Outcome.APPLIED, Outcome.ALREADY)
        if not quiet and len(self.named) < self.NAMED:
            self.named.append((deploy_id, outcome, why))

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def smooth(self) -> bool:
        """Whether every deploy that has a route is as planned now."""
        rough = (Outcome.CHANGED, Outcome.GONE, Outcome.FAILED)
        return not any(self.counts[outcome] for outcome in rough)
