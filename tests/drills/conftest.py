"""Drills for tests: small ones, on a database of their own, with something done on purpose."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from blackstart.drills.checks import Check, Status
from blackstart.drills.drill import Drill, Order, Verdict
from blackstart.drills.incidents import Incident, Step
from blackstart.drills.incidents.feb2 import FEB2
from blackstart.drills.responders import Responders
from blackstart.drills.world.repositories import UserRepository
from blackstart.safeguards import Safeguards
from blackstart.store import MetadataStore, ObjectStore

SITES = 24
MINUTE = 60.0

RunDrill = Callable[..., Awaitable[Verdict]]


@pytest.fixture
async def run_small_drill(store: MetadataStore, tmp_path: Path) -> AsyncIterator[RunDrill]:
    """Runs one drill; what it takes are the parts of an `Order`."""

    async def run(
        incident: Incident = FEB2,
        *,
        sites: int = SITES,
        seed: int = 1,
        safeguards: str = "",
        repositories: list[UserRepository] | None = None,
    ) -> Verdict:
        order = Order(incident, sites, seed, Safeguards.parse(safeguards), repositories or [])
        return await Drill(order).run(store, ObjectStore.open("memory://"), tmp_path / "drill")

    yield run


def meddling(offset_s: float, act: Callable[[Responders], Awaitable[None]]) -> Incident:
    """February 2 with one more deed in its runbook."""
    step = Step(offset_s, "saboteur", "meddle", act)
    return replace(FEB2, runbook=lambda safeguards: (*FEB2.runbook(safeguards), step))


def not_passed(checks: list[Check]) -> dict[str, Status]:
    """Check id -> status, of those that did not pass."""
    return {check.id: check.status for check in checks if check.status is not Status.PASSED}
