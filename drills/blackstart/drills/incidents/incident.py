"""What an incident is made of: when things are, what breaks, and what people do. Inputs only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from blackstart.drills.faults.overwrite_metadata import OverwriteMetadata
from blackstart.drills.responders import Responders
from blackstart.drills.reviewer import Review
from blackstart.drills.world.traffic import Rates
from blackstart.safeguards import Safeguards


@dataclass(frozen=True)
class Step:
    """One thing people do: `offset_s` after the fault, by whom, in words, and as a deed."""

    offset_s: float
    who: str
    what: str
    act: Callable[[Responders], Awaitable[None]]


@dataclass(frozen=True)
class Milestone:
    """A moment the review tells of, to print beside what emerged."""

    offset_s: float
    what: str


@dataclass(frozen=True)
class Incident:
    """One incident. Offsets are seconds from the fault; outcomes are nowhere in here.

    `review` is what a second engineer makes of a write that a guard holds.
    """

    name: str
    title: str
    fault_time: datetime
    morning_s: float
    end_s: float
    snapshot_s: float
    fault: OverwriteMetadata
    review: Review
    rates: Callable[[int], Rates]
    runbook: Callable[[Safeguards], tuple[Step, ...]]
    milestones: tuple[Milestone, ...]
