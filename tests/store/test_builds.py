"""Tests of the build queue, on a real database."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from blackstart.errors import NotFoundError
from blackstart.model import Build, BuildState, Lease
from blackstart.store import MetadataStore

NOON = datetime(2017, 2, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
CONTENDERS = 20


def a_build(
    name: str,
    *,
    state: BuildState = BuildState.QUEUED,
    priority: int = 10,
    minute: int = 0,
    lease: Lease | None = None,
    site_id: str = "s1",
    attempt: int = 0,
) -> Build:
    return Build(
        id=name,
        site_id=site_id,
        deploy_id=None,
        commit_ref=None,
        pinned=False,
        branch="main",
        state=state,
        priority=priority,
        due_at=NOON + minute * MINUTE,
        created_at=NOON + minute * MINUTE,
        attempt=attempt,
        lease=lease,
    )


def a_lease(worker: str, minute: int) -> Lease:
    return Lease(worker=worker, until=NOON + minute * MINUTE)


async def test_a_build_is_read_as_it_was_stored(store: MetadataStore) -> None:
    build = a_build("b1", lease=a_lease("w1", 1))
    await store.builds.insert(build)
    assert await store.builds.get("b1") == build
    with pytest.raises(NotFoundError, match="b2"):
        await store.builds.get("b2")


async def test_the_queue_goes_by_priority_then_due_time_then_id(store: MetadataStore) -> None:
    names = ("late", "twin-b", "twin-a", "urgent")
    for name, priority, minute in zip(names, (10, 10, 10, 0), (2, 1, 1, 9), strict=True):
        await store.builds.insert(
            a_build(name, priority=priority, minute=minute, site_id=f"of-{name}")
        )
    await store.builds.insert(a_build("over", state=BuildState.DONE, priority=0))
    order = []
    while (build := await store.builds.next_queued(busy=[])) is not None:
        order.append(build.id)
        assert await store.builds.claim(build, a_lease("w1", 99), NOON)
    assert order == ["urgent", "twin-a", "twin-b", "late"]
    running = await store.builds.in_state(BuildState.RUNNING)
    assert [build.id for build in running] == order
    assert await store.builds.busy_sites() == sorted(f"of-{name}" for name in names)


async def test_the_builds_of_a_busy_site_are_passed_over(store: MetadataStore) -> None:
    await store.builds.insert(a_build("first", minute=1, site_id="s1"))
    await store.builds.insert(a_build("second", minute=2, site_id="s2"))
    found = await store.builds.next_queued(busy=["s1", "s9"])
    assert found is not None
    assert found.id == "second"
    assert await store.builds.next_queued(busy=["s1", "s2"]) is None
    assert [build.id for build in await store.builds.waiting("s1")] == ["first"]


async def test_a_sites_builds_come_newest_first_page_by_page(store: MetadataStore) -> None:
    for number in (2, 1, 3):
        await store.builds.insert(a_build(f"b{number}", minute=number))
    await store.builds.insert(a_build("other", site_id="s2"))
    assert [build.id for build in await store.builds.of_site("s1")] == ["b3", "b2", "b1"]
    assert [build.id for build in await store.builds.of_site("s1", skip=1, limit=1)] == ["b2"]


async def test_a_claimed_build_is_read_as_it_was_returned(store: MetadataStore) -> None:
    await store.builds.insert(a_build("b1"))
    claimed = await store.builds.claim(a_build("b1"), a_lease("w1", 1), NOON)
    assert claimed == await store.builds.get("b1")
    assert claimed is not None
    assert (claimed.attempt, claimed.started_at) == (1, NOON)
    assert await store.builds.requeue(claimed)
    waiting = await store.builds.get("b1")
    again = await store.builds.claim(waiting, a_lease("w2", 9), NOON + MINUTE)
    assert again is not None
    assert (again.attempt, again.started_at) == (2, NOON), "it started when it first did"


async def test_only_running_builds_past_their_lease_are_expired(store: MetadataStore) -> None:
    running = BuildState.RUNNING
    await store.builds.insert(a_build("b1", state=running, lease=a_lease("w1", 15)))
    await store.builds.insert(a_build("b2", state=running, lease=a_lease("w1", 99), site_id="s2"))
    await store.builds.insert(a_build("b3"))
    assert await store.builds.expired(NOON + 15 * MINUTE) == []
    late = await store.builds.expired(NOON + 16 * MINUTE)
    assert [build.id for build in late] == ["b1"]
    assert await store.builds.renew(late[0], NOON + 30 * MINUTE)
    assert await store.builds.expired(NOON + 16 * MINUTE) == []


async def test_of_many_workers_exactly_one_claims_a_queued_build(store: MetadataStore) -> None:
    build = a_build("b1")
    await store.builds.insert(build)
    won = await asyncio.gather(
        *(
            store.builds.claim(build, a_lease(f"w{number}", 15), NOON)
            for number in range(CONTENDERS)
        )
    )
    winners = [claimed for claimed in won if claimed is not None]
    assert winners == [await store.builds.get("b1")]
    assert winners[0].lease == a_lease(f"w{won.index(winners[0])}", 15)
    assert winners[0].state is BuildState.RUNNING


async def test_of_many_workers_exactly_one_runs_a_build_of_a_site(store: MetadataStore) -> None:
    builds = [a_build(f"b{number}") for number in range(CONTENDERS)]
    for build in builds:
        await store.builds.insert(build)
    won = await asyncio.gather(
        *(store.builds.claim(build, a_lease(build.id, 15), NOON) for build in builds)
    )
    winners = [claimed for claimed in won if claimed is not None]
    assert len(winners) == 1
    assert await store.builds.in_state(BuildState.RUNNING) == winners
    assert len(await store.builds.waiting("s1")) == CONTENDERS - 1


async def test_of_many_who_free_a_build_left_behind_exactly_one_does(
    store: MetadataStore,
) -> None:
    left = a_build("b1", state=BuildState.RUNNING, lease=a_lease("dead", 15), attempt=1)
    await store.builds.insert(left)
    freed = await asyncio.gather(*(store.builds.requeue(left) for _ in range(CONTENDERS)))
    assert freed.count(True) == 1
    build = await store.builds.get("b1")
    assert (build.state, build.lease, build.attempt) == (BuildState.QUEUED, None, 1)


async def test_a_claim_on_what_the_build_no_longer_is_fails(store: MetadataStore) -> None:
    seen = a_build("b1")
    await store.builds.insert(seen)
    assert await store.builds.end(seen, BuildState.DONE, at=NOON, log=["done"])
    assert await store.builds.claim(seen, a_lease("w1", 15), NOON) is None
    assert (await store.builds.get("b1")).state is BuildState.DONE


async def test_ending_a_build_adds_to_its_log_and_lets_its_lease_go(store: MetadataStore) -> None:
    running = a_build("b1", state=BuildState.RUNNING, lease=a_lease("w1", 15))
    await store.builds.insert(running)
    assert await store.builds.end(
        running, BuildState.STUCK, at=NOON, log=["one", "two"], error="stuck"
    )
    stuck = await store.builds.get("b1")
    assert (stuck.state, stuck.error, stuck.lease) == (BuildState.STUCK, "stuck", None)
    assert await store.builds.end(stuck, BuildState.DONE, at=NOON + MINUTE, log=["three"])
    ended = await store.builds.get("b1")
    assert ended.log == ["one", "two", "three"]
    assert (ended.state, ended.error, ended.lease) == (BuildState.DONE, None, None)
    assert ended.ended_at == NOON + MINUTE


async def test_who_lost_the_build_can_do_nothing_with_it_any_more(store: MetadataStore) -> None:
    mine = a_build("b1", state=BuildState.RUNNING, lease=a_lease("slow", 15), attempt=1)
    await store.builds.insert(mine)
    assert await store.builds.set_deploy(mine, "d1", "c" * 40)
    assert await store.builds.add_log(mine, ["a line"])
    assert await store.builds.requeue(mine)
    assert await store.builds.claim(await store.builds.get("b1"), a_lease("heir", 30), NOON)
    theirs = await store.builds.get("b1")
    assert not await store.builds.set_deploy(mine, "d2", "d" * 40)
    assert not await store.builds.renew(mine, NOON + 99 * MINUTE)
    assert not await store.builds.add_log(mine, ["broken"])
    assert not await store.builds.requeue(mine)
    assert not await store.builds.end(
        mine, BuildState.ERROR, at=NOON, log=["broken"], error="broken"
    )
    assert await store.builds.get("b1") == theirs
    assert (theirs.deploy_id, theirs.commit_ref, theirs.log) == ("d1", "c" * 40, ["a line"])
