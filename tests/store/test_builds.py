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
) -> Build:
    return Build(
        id=name,
        site_id="s1",
        deploy_id=None,
        commit_ref=None,
        branch="main",
        state=state,
        priority=priority,
        created_at=NOON + minute * MINUTE,
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


async def test_the_queue_goes_by_priority_then_age_then_id(store: MetadataStore) -> None:
    for build in (
        a_build("late", minute=2),
        a_build("twin-b", minute=1),
        a_build("twin-a", minute=1),
        a_build("urgent", priority=0, minute=9),
        a_build("over", state=BuildState.DONE, priority=0),
    ):
        await store.builds.insert(build)
    order = []
    while (build_or_none := await store.builds.next_claimable(NOON)) is not None:
        order.append(build_or_none.id)
        assert await store.builds.claim(build_or_none, a_lease("w1", 99))
    assert order == ["urgent", "twin-a", "twin-b", "late"]
    running = await store.builds.in_state(BuildState.RUNNING)
    assert [build.id for build in running] == order
    assert [build.id for build in await store.builds.of_site("s1")][:2] == ["urgent", "late"]


async def test_a_running_build_is_taken_over_only_after_its_lease(store: MetadataStore) -> None:
    await store.builds.insert(a_build("b1", state=BuildState.RUNNING, lease=a_lease("w1", 15)))
    assert await store.builds.next_claimable(NOON) is None
    assert await store.builds.next_claimable(NOON + 15 * MINUTE) is None
    late = await store.builds.next_claimable(NOON + 16 * MINUTE)
    assert late is not None
    assert late.id == "b1"


async def test_of_many_workers_exactly_one_claims_a_queued_build(store: MetadataStore) -> None:
    build = a_build("b1")
    await store.builds.insert(build)
    won = await asyncio.gather(
        *(store.builds.claim(build, a_lease(f"w{number}", 15)) for number in range(CONTENDERS))
    )
    assert won.count(True) == 1
    claimed = await store.builds.get("b1")
    assert claimed.lease == a_lease(f"w{won.index(True)}", 15)
    assert claimed.state is BuildState.RUNNING


async def test_of_many_workers_exactly_one_takes_over_a_build_left_behind(
    store: MetadataStore,
) -> None:
    left = a_build("b1", state=BuildState.RUNNING, lease=a_lease("dead", 15))
    await store.builds.insert(left)
    won = await asyncio.gather(
        *(store.builds.claim(left, a_lease(f"w{number}", 30)) for number in range(CONTENDERS))
    )
    assert won.count(True) == 1
    assert (await store.builds.get("b1")).lease == a_lease(f"w{won.index(True)}", 30)


async def test_a_claim_on_what_the_build_no_longer_is_fails(store: MetadataStore) -> None:
    seen = a_build("b1")
    await store.builds.insert(seen)
    assert await store.builds.end(seen, BuildState.DONE, log=["done"])
    assert not await store.builds.claim(seen, a_lease("w1", 15))
    assert (await store.builds.get("b1")).state is BuildState.DONE


async def test_ending_a_build_adds_to_its_log_and_lets_its_lease_go(store: MetadataStore) -> None:
    running = a_build("b1", state=BuildState.RUNNING, lease=a_lease("w1", 15))
    await store.builds.insert(running)
    assert await store.builds.end(running, BuildState.STUCK, log=["one", "two"], error="stuck")
    stuck = await store.builds.get("b1")
    assert (stuck.state, stuck.error, stuck.lease) == (BuildState.STUCK, "stuck", None)
    assert await store.builds.end(stuck, BuildState.DONE, log=["three"])
    ended = await store.builds.get("b1")
    assert ended.log == ["one", "two", "three"]
    assert (ended.state, ended.error, ended.lease) == (BuildState.DONE, None, None)


async def test_who_lost_the_lease_can_neither_set_the_deploy_nor_end_the_build(
    store: MetadataStore,
) -> None:
    mine = a_build("b1", state=BuildState.RUNNING, lease=a_lease("slow", 15))
    await store.builds.insert(mine)
    assert await store.builds.set_deploy(mine, "d1", "c" * 40)
    assert await store.builds.claim(mine, a_lease("heir", 30))
    theirs = await store.builds.get("b1")
    assert not await store.builds.set_deploy(mine, "d2", "d" * 40)
    assert not await store.builds.end(mine, BuildState.ERROR, log=["broken"], error="broken")
    assert await store.builds.get("b1") == theirs
    assert (theirs.deploy_id, theirs.commit_ref) == ("d1", "c" * 40)
