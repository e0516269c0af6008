"""What a cache does for a broken origin: the same day with and without the two safeguards.

A minute after the fault somebody marks every cached page stale, as people
do who suspect the caches. From then on a page comes from a node only if the
node may show a stale copy in the place of an error, and is told of one.
"""

from __future__ import annotations

import pytest
from tests.drills.conftest import MINUTE, RunDrill, meddling

from blackstart.drills.evidence import Evidence
from blackstart.drills.journal import Entry
from blackstart.drills.responders import Responders

BOTH = "honest-origin,stale-if-error"


async def mark_all_stale(team: Responders) -> None:
    for node in team.world.services.nodes:
        await node.purge_all(soft=True)


async def test_honest_origin_and_stale_if_error_hide_the_outage_for_what_was_cached(
    run_small_drill: RunDrill,
) -> None:
    verdict = await run_small_drill(meddling(MINUTE, mark_all_stale), sites=50, safeguards=BOTH)
    seen = visits_to_damaged_pages_that_were_cached(verdict.evidence)
    assert len(seen) >= 10
    assert [visit for visit in seen if visit.details["status"] != 200] == []
    assert all(visit.details["cache"] == "hit" for visit in seen)
    assert all(visit.details["blob"] in verdict.evidence.right_blobs(visit) for visit in seen)


@pytest.mark.slow
@pytest.mark.parametrize("one", ["", "honest-origin", "stale-if-error"])
async def test_either_safeguard_alone_hides_nothing(run_small_drill: RunDrill, one: str) -> None:
    verdict = await run_small_drill(meddling(MINUTE, mark_all_stale), sites=50, safeguards=one)
    seen = visits_to_damaged_pages_that_were_cached(verdict.evidence)
    assert len(seen) >= 10
    assert {visit.details["status"] for visit in seen} == {503 if "honest" in one else 404}


def visits_to_damaged_pages_that_were_cached(evidence: Evidence) -> list[Entry]:
    """People's visits to damaged sites after the caches were marked, each page held before."""
    held = {
        (visit.details["node"], visit.subject)
        for visit in evidence.journal.of("visit")
        if visit.details["status"] == 200
        and visit.details["person"]
        and visit.details["asked_at"] > -30 * MINUTE
        and visit.offset_s < MINUTE
    }
    return [
        visit
        for visit in evidence.visits()
        if visit.details["asked_at"] > MINUTE
        and visit.details["person"]
        and (visit.details["node"], visit.subject) in held
        and evidence.broken_for(visit)
    ]
