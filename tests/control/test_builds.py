"""Tests of the queue's front desk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from blackstart.errors import ConflictError, UsageError
from blackstart.model import BuildState, Plan, Repo

if TYPE_CHECKING:
    from tests.conftest import Bench

REPO = Repo(url="/somewhere", branch="trunk")


async def test_a_build_is_queued_and_the_doorbell_rings(bench: Bench) -> None:
    site = await bench.site(repo=REPO)
    build = await bench.builds.start(site)
    assert await bench.store.builds.get(build.id) == build
    assert (build.state, build.branch, build.commit_ref) == (BuildState.QUEUED, "trunk", None)
    assert bench.doorbell.is_set()


async def test_who_pays_more_is_built_first(bench: Bench) -> None:
    queued = {}
    for plan in (Plan.FREE, Plan.GLOBAL, Plan.ENTERPRISE, Plan.PRO):
        site = await bench.site(plan.value, plan=plan, repo=REPO)
        queued[(await bench.builds.start(site)).id] = plan
    order = [queued[build.id] for build in await bench.store.builds.in_state(BuildState.QUEUED)]
    assert order == [Plan.ENTERPRISE, Plan.GLOBAL, Plan.PRO, Plan.FREE]


async def test_a_site_without_a_repository_cannot_be_built(bench: Bench) -> None:
    with pytest.raises(UsageError, match="no repository"):
        await bench.builds.start(await bench.site())


async def test_only_heads_are_built_unless_any_commit_may_be(bench: Bench) -> None:
    site = await bench.site(repo=REPO)
    with pytest.raises(UsageError, match="rebuild-by-commit"):
        await bench.builds.start(site, commit_ref="c" * 40)
    assert await bench.store.builds.of_site(site.id) == []
    bench.safeguards.enable("rebuild-by-commit")
    build = await bench.builds.start(site, commit_ref="c" * 40)
    assert build.commit_ref == "c" * 40


async def test_only_a_stuck_build_is_pushed_through(bench: Bench) -> None:
    build = await bench.builds.start(await bench.site(repo=REPO))
    with pytest.raises(ConflictError, match="is queued, not stuck"):
        await bench.builds.push_stuck(build)
