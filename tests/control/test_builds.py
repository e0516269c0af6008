"""Tests of the queue's front desk."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from blackstart.errors import ConflictError, UsageError
from blackstart.model import BuildState, DeployState, ManifestFile, Plan, Repo

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


async def test_the_newest_head_takes_the_place_of_those_that_wait(bench: Bench) -> None:
    site = await bench.site(repo=REPO)
    waiting = []
    for _ in range(3):
        waiting.append(await bench.builds.start(site))
        bench.clock.advance(1)
    other = await bench.builds.start(await bench.site("other", repo=REPO))
    states = [(await bench.store.builds.get(build.id)).state for build in waiting]
    assert states == [BuildState.CANCELLED, BuildState.CANCELLED, BuildState.QUEUED]
    assert (await bench.store.builds.get(waiting[0].id)).log == [
        f"superseded by build {waiting[1].id}"
    ]
    assert (await bench.store.builds.get(other.id)).state is BuildState.QUEUED


async def test_of_heads_queued_at_the_same_time_one_is_left(bench: Bench) -> None:
    site = await bench.site(repo=REPO)
    await asyncio.gather(*(bench.builds.start(site) for _ in range(8)))
    assert len(await bench.store.builds.waiting(site.id)) == 1


async def test_builds_of_commits_other_branches_and_running_ones_are_not_replaced(
    bench: Bench,
) -> None:
    bench.safeguards.enable("rebuild-by-commit")
    site = await bench.site(repo=REPO)
    running = await bench.builds.start(site)
    assert await bench.queue().take("w1")
    kept = [
        await bench.builds.start(site, commit_ref="c" * 40),
        await bench.builds.start(site, branch="side"),
    ]
    bench.clock.advance(1)
    kept.append(await bench.builds.start(site))
    kept.append(await bench.builds.start(site, commit_ref="d" * 40))
    waiting = {build.id for build in await bench.store.builds.waiting(site.id)}
    assert waiting == {build.id for build in kept}
    assert (await bench.store.builds.get(running.id)).state is BuildState.RUNNING


async def test_a_rerun_is_pinned_to_the_commit_of_the_build(bench: Bench) -> None:
    site = await bench.site(repo=REPO)
    unknown = await bench.builds.start(site)
    with pytest.raises(UsageError, match="rebuild-by-commit"):
        await bench.builds.rerun(unknown)
    bench.safeguards.enable("rebuild-by-commit")
    with pytest.raises(ConflictError, match="has no commit yet"):
        await bench.builds.rerun(unknown)
    known = unknown.model_copy(update={"commit_ref": "c" * 40})
    again = await bench.builds.rerun(known, urgent=True)
    assert (again.commit_ref, again.pinned, again.branch) == ("c" * 40, True, "trunk")
    assert again.priority < unknown.priority


async def test_a_waiting_build_that_is_cancelled_is_never_built(bench: Bench) -> None:
    build = await bench.builds.start(await bench.site(repo=REPO))
    cancelled = await bench.builds.cancel(build)
    assert (cancelled.state, cancelled.log) == (BuildState.CANCELLED, ["cancelled"])
    assert cancelled.ended_at == bench.clock.now()
    assert await bench.queue().take("w1") is None
    assert await bench.builds.cancel(cancelled) == cancelled, "it stays as it is"


async def test_a_build_that_is_taken_at_this_moment_is_not_cancelled(bench: Bench) -> None:
    build = await bench.builds.start(await bench.site(repo=REPO))
    assert await bench.queue().take("w1")
    with pytest.raises(ConflictError, match="is running"):
        await bench.builds.cancel(build)


async def test_cancelling_a_running_build_ends_a_deploy_that_the_caller_has_not_seen(
    bench: Bench,
) -> None:
    site = await bench.site(repo=REPO)
    await bench.builds.start(site)
    running = await bench.queue().take("w1")
    assert running is not None
    deploy = await bench.deploys.create(
        site.id, manifest(), branch="trunk", build_id=running.id, commit_ref="c" * 40
    )
    assert await bench.store.builds.set_deploy(running, deploy.id, "c" * 40)
    assert running.deploy_id is None
    assert (await bench.builds.cancel(running)).state is BuildState.CANCELLED
    assert (await bench.deploy(deploy.id)).state is DeployState.CANCELLED


async def test_cancelling_a_build_brings_a_deploy_that_is_completed_to_its_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = await bench.site(repo=REPO)
    await bench.builds.start(site)
    running = await bench.queue().take("w1")
    assert running is not None
    deploy = await bench.processing(site, {"index.html": b"home"})
    assert await bench.store.builds.set_deploy(running, deploy.id, "c" * 40)

    async def dies(*arguments: object) -> bool:
        raise OSError("killed")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="killed"):
        patch.setattr(bench.store.sites, "publish", dies)
        await bench.publisher.publish(deploy.id)
    await bench.builds.cancel(running)
    assert (await bench.deploy(deploy.id)).state is DeployState.READY
    assert await bench.published_id(site) == deploy.id


def manifest() -> list[ManifestFile]:
    return [ManifestFile(path="index.html", sha1="0" * 40, size=1)]
