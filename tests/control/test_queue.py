"""Tests of the build queue: who comes next, who holds a build, and what becomes of the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from blackstart.control.queue import MAX_ATTEMPTS
from blackstart.model import Build, BuildState, Deploy, DeployState, Plan, Repo, Site

if TYPE_CHECKING:
    from tests.conftest import Bench

REPO = Repo(url="/somewhere", branch="main")
COMMIT = "c" * 40
FILES = {"index.html": b"home"}


@pytest.fixture
async def site(bench: Bench) -> Site:
    bench.safeguards.enable("rebuild-by-commit")
    return await bench.site(repo=REPO)


async def taken(bench: Bench) -> list[str]:
    """The builds in the order in which workers get them, each ended before the next."""
    order = []
    while (build := await bench.queue().take("w1")) is not None:
        order.append(build.id)
        await bench.store.builds.end(build, BuildState.DONE, at=bench.clock.now(), log=[])
    return order


async def take(bench: Bench, worker: str = "w1") -> Build:
    build = await bench.queue().take(worker)
    assert build is not None
    return build


async def begun(bench: Bench, build: Build, *, finished: bool = False) -> Deploy:
    """A deploy that the build is making."""
    site = await bench.store.sites.get(build.site_id)
    deploy = await (bench.processing if finished else bench.announce)(site, FILES)
    await bench.store.database["deploys"].update_one(
        {"_id": deploy.id}, {"$set": {"build_id": build.id}}
    )
    assert await bench.store.builds.set_deploy(build, deploy.id, COMMIT)
    return deploy


async def test_who_pays_more_comes_first_and_urgent_builds_before_others_of_their_plan(
    bench: Bench,
) -> None:
    free = await bench.site("free", plan=Plan.FREE, repo=REPO)
    other = await bench.site("other", plan=Plan.FREE, repo=REPO)
    rich = await bench.site("rich", plan=Plan.ENTERPRISE, repo=REPO)
    starts = [(free, False), (other, True), (rich, False)]
    builds = [await bench.builds.start(site, urgent=urgent) for site, urgent in starts]
    assert await taken(bench) == [builds[2].id, builds[1].id, builds[0].id]


async def test_a_site_with_many_builds_lets_those_of_others_in_between(
    bench: Bench, site: Site
) -> None:
    many = [await bench.builds.start(site, commit_ref=COMMIT) for _ in range(3)]
    bench.clock.advance(1)
    one = await bench.builds.start(await bench.site("other", repo=REPO))
    assert await taken(bench) == [many[0].id, one.id, many[1].id, many[2].id]


async def test_a_site_has_one_running_build_and_the_others_need_not_wait_for_it(
    bench: Bench, site: Site
) -> None:
    first, second = [await bench.builds.start(site, commit_ref=COMMIT) for _ in range(2)]
    bench.clock.advance(1)
    other = await bench.builds.start(await bench.site("other", repo=REPO))
    assert (await take(bench)).id == first.id
    assert (await take(bench)).id == other.id
    assert await bench.queue().take("w3") is None
    running = await bench.store.builds.get(first.id)
    await bench.store.builds.end(running, BuildState.DONE, at=bench.clock.now(), log=[])
    assert (await take(bench)).id == second.id


async def test_a_lease_that_is_renewed_holds(bench: Bench, site: Site) -> None:
    await bench.builds.start(site)
    build = await take(bench)
    for _ in range(5):
        bench.clock.advance(bench.queue().lease_s - 1)
        assert await bench.queue().renew(build)
        assert await bench.queue().take("other") is None
    bench.outlive_the_lease()
    heir = await take(bench, "other")
    assert (heir.id, heir.attempt) == (build.id, 2)
    assert not await bench.queue().renew(build), "it is the heir's now"


async def test_a_build_that_is_given_back_is_taken_at_once(bench: Bench, site: Site) -> None:
    await bench.builds.start(site)
    build = await take(bench)
    assert await bench.queue().give_back(build)
    assert not await bench.queue().give_back(build)
    assert (await take(bench, "other")).id == build.id
    assert bench.events.subjects("build.requeued") == [build.id]


async def test_when_a_worker_died_and_a_newer_head_waits_only_that_is_built(
    bench: Bench, site: Site
) -> None:
    await bench.builds.start(site)
    old = await take(bench)
    deploy = await begun(bench, old)
    bench.clock.advance(1)
    newer = await bench.builds.start(site)
    bench.outlive_the_lease()
    assert await taken(bench) == [newer.id]
    over = await bench.store.builds.get(old.id)
    assert (over.state, over.error) == (BuildState.CANCELLED, f"superseded by build {newer.id}")
    assert (await bench.deploy(deploy.id)).state is DeployState.CANCELLED


async def test_a_build_of_a_named_commit_is_never_replaced(bench: Bench, site: Site) -> None:
    pinned = await bench.builds.start(site, commit_ref=COMMIT)
    await take(bench)
    bench.clock.advance(1)
    head = await bench.builds.start(site)
    bench.outlive_the_lease()
    assert await taken(bench) == [pinned.id, head.id]


async def test_a_build_on_which_workers_die_is_given_up_with_its_deploy(
    bench: Bench, site: Site
) -> None:
    queued = await bench.builds.start(site)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        build = await take(bench)
        assert build.attempt == attempt
        bench.outlive_the_lease()
    deploy = await begun(bench, build)
    assert await bench.queue().take("w1") is None
    over = await bench.store.builds.get(queued.id)
    assert over.state is BuildState.ERROR
    assert over.error == f"given up: {MAX_ATTEMPTS} workers died"
    assert over.log[-1] == over.error
    assert (await bench.deploy(deploy.id)).state is DeployState.ERROR


@pytest.mark.parametrize("reason", ["a newer head", "too many attempts"])
async def test_a_build_whose_deploy_is_completed_is_always_gone_on_with(
    bench: Bench, site: Site, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued = await bench.builds.start(site)
    build = await take(bench)
    for _ in range(MAX_ATTEMPTS - 1 if reason == "too many attempts" else 0):
        bench.outlive_the_lease()
        build = await take(bench)
    deploy = await begun(bench, build, finished=True)

    async def dies(*arguments: object) -> bool:
        raise OSError("killed")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="killed"):
        patch.setattr(bench.store.sites, "publish", dies)
        await bench.publisher.publish(deploy.id)
    if reason == "a newer head":
        bench.clock.advance(1)
        await bench.builds.start(site)
    bench.outlive_the_lease()
    assert (await take(bench, "heir")).id == queued.id


async def test_an_invalid_build_is_passed_over_and_the_next_one_runs(
    bench: Bench, site: Site
) -> None:
    broken = await bench.builds.start(site, commit_ref=COMMIT)
    old = await bench.builds.start(await bench.site("old", repo=REPO))
    running = {"state": "running", "lease": {"worker": 7, "until": bench.clock.now()}}
    raw = bench.store.database["builds"]
    await raw.update_one({"_id": broken.id}, {"$set": {"attempt": "many"}})
    await raw.update_one({"_id": old.id}, {"$set": running})
    bench.clock.advance(1)
    whole = await bench.builds.start(site, commit_ref=COMMIT)
    assert (await take(bench)).id == whole.id
    assert await bench.queue().take("w2") is None
    assert (await raw.find_one({"_id": broken.id}) or {})["attempt"] == "many"
