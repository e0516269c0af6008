"""Tests of a build in a worker's hands: its log, its lease, and how its loss is noticed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pymongo.errors import AutoReconnect

from blackstart.builder.job import MAX_LINE_CHARACTERS, MAX_LINES, Job
from blackstart.drills.world.clock import VirtualClock
from blackstart.errors import ConflictError
from blackstart.model import Build, Repo
from blackstart.seed import Seed

if TYPE_CHECKING:
    from tests.conftest import Bench

REPO = Repo(url="/somewhere", branch="main")


@pytest.fixture
async def build(bench: Bench) -> Build:
    await bench.builds.start(await bench.site(repo=REPO))
    taken = await bench.queue().take("w1")
    assert taken is not None
    return taken


@pytest.fixture
def job(bench: Bench, build: Build) -> Job:
    return Job(build, bench.store, bench.queue(), bench.clock)


async def log_of(bench: Bench, build: Build) -> list[str]:
    return (await bench.store.builds.get(build.id)).log


async def test_each_beat_brings_the_new_lines_to_the_database(
    bench: Bench, build: Build, job: Job
) -> None:
    job.log("one")
    job.log("two")
    await job.beat()
    job.log("three")
    await job.beat()
    await job.beat()
    assert await log_of(bench, build) == ["one", "two", "three"]
    assert job.unsaved() == []


def test_a_line_that_is_too_long_and_a_log_that_is_too_long_are_cut_off(job: Job) -> None:
    job.log("x" * (MAX_LINE_CHARACTERS + 1))
    for number in range(2 * MAX_LINES):
        job.log(f"line {number}")
    lines = job.unsaved()
    assert lines[0] == "x" * MAX_LINE_CHARACTERS
    assert len(lines) == MAX_LINES
    assert lines[-2:] == [
        f"line {MAX_LINES - 3}",
        f"the log is cut off here, after {MAX_LINES:,} lines",
    ]
    job.log("more")
    assert job.unsaved() == []


async def test_beats_keep_the_lease_for_as_long_as_the_build_takes(bench: Bench, job: Job) -> None:
    for _ in range(20):
        bench.clock.advance(bench.queue().lease_s / 4)
        await job.beat()
        assert await bench.queue().take("other") is None
    job.check()
    assert not job.lost.is_set()


async def test_a_build_that_was_called_off_is_noticed_at_the_next_beat(
    bench: Bench, build: Build, job: Job
) -> None:
    await bench.builds.cancel(build)
    job.check()
    await job.beat()
    with pytest.raises(ConflictError, match="taken over or called off"):
        job.check()


async def test_a_build_that_was_called_off_is_noticed_before_what_cannot_be_taken_back(
    bench: Bench, build: Build, job: Job
) -> None:
    await job.hold()
    await bench.builds.cancel(build)
    with pytest.raises(ConflictError, match="taken over or called off"):
        await job.hold()


async def test_lines_wait_for_a_database_that_is_away_for_as_long_as_the_lease_holds(
    bench: Bench, build: Build, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*arguments: Any) -> bool:
        raise AutoReconnect("away")

    job.log("kept")
    with monkeypatch.context() as patch:
        patch.setattr(bench.store.builds, "add_log", away)
        patch.setattr(bench.store.builds, "renew", away)
        await job.beat()
        bench.clock.advance(bench.queue().lease_s - 1)
        await job.beat()
        assert not job.lost.is_set()
    await job.beat()
    await job.beat()
    assert await log_of(bench, build) == ["kept"]

    monkeypatch.setattr(bench.store.builds, "renew", away)
    bench.outlive_the_lease()
    await job.beat()
    assert job.lost.is_set(), "another worker may have it by now"


async def test_the_heartbeat_ends_with_the_build(bench: Bench, build: Build) -> None:
    clock = VirtualClock(bench.clock.time(), Seed(1))
    job = Job(build, bench.store, bench.queue(), clock)
    ends: list[str] = []

    async def work() -> None:
        job.log("at work")
        async with clock.beside("heartbeat", job.heartbeat(10.0)):
            await clock.sleep(5 * bench.queue().lease_s)
            assert not job.lost.is_set()
            await bench.store.builds.requeue(build)
            await clock.sleep(10.0)
            assert job.lost.is_set()
        ends.append("work")

    clock.spawn("work", work())
    await clock.run_until(clock.time() + 10 * bench.queue().lease_s)
    assert ends == ["work"]
    assert await log_of(bench, build) == ["at work"]
