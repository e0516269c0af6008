"""The schedule, on a clock that jumps: on time, late, twice over, failing and killed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from tests.conftest import Recorder
from tests.recovery.snapshots.turns import FakeDatabase, use_fake_databases

from blackstart.drills.world.clock import VirtualClock
from blackstart.errors import DatabaseError, StorageError, UsageError
from blackstart.recovery.snapshots import Every, Keep, Outcome, Schedule, Snapshots, cutting
from blackstart.recovery.snapshots.keys import SCHEDULED, TAKES
from blackstart.seed import Seed
from blackstart.store import ObjectStore

MINUTE = 60
START = datetime(2017, 2, 2, 9, 50, tzinfo=UTC).timestamp()
QUARTER = Every.parse("15m")


class SlowDatabase(FakeDatabase):
    """One that takes its time, and may be away until a moment."""

    def __init__(self, world: World) -> None:
        super().__init__(world.values)
        self.world = world

    async def batches(self, collection: str) -> AsyncGenerator[bytes, None]:
        self.world.reading += 1
        self.world.most_at_once = max(self.world.most_at_once, self.world.reading)
        try:
            for key in sorted(self.values):
                await self.world.clock.sleep(self.world.lasts_s / len(self.values))
                yield bson.encode({"_id": key, "n": self.values[key]})
        finally:
            self.world.reading -= 1


class FullStore(ObjectStore):
    """One that is full until a moment."""

    world: World

    async def put(self, key: str, data: bytes) -> None:
        if self.world.clock.time() < self.world.full_until:
            raise StorageError(f"cannot write {key}: no space left on device")
        await super().put(key, data)


class World:
    """A bucket, a database, and schedules as actors that are started, killed and slept away."""

    def __init__(self) -> None:
        self.clock = VirtualClock(START, Seed(1))
        self.objects = FullStore(ObjectStore.open("memory://").backend)
        self.objects.world = self
        self.snapshots = Snapshots(self.objects)
        self.seen = Recorder()
        self.values = dict.fromkeys(range(40), 0)
        self.lasts_s = 1.0
        self.away_until = self.full_until = 0.0
        self.reading = self.most_at_once = 0
        self.tries: list[float] = []

    def schedule(self, every: Every = QUARTER, **more: Any) -> Schedule:
        @asynccontextmanager
        async def open_database() -> AsyncIterator[Any]:
            self.tries.append(self.clock.time() - START)
            if self.clock.time() < self.away_until:
                raise DatabaseError("MongoDB does not answer: refused")
            yield SlowDatabase(self)

        return Schedule(
            self.snapshots,
            open_database,
            "blackstart",
            every=every,
            clock=self.clock,
            seed=Seed(len(self.tries)).fork(str(more.pop("name", ""))),
            events=self.seen,
            **more,
        )

    def start(self, schedule: Schedule) -> Any:
        return self.clock.spawn("schedule", schedule.run())

    async def run_for(self, minutes: float) -> None:
        await self.clock.run_until(self.clock.time() + minutes * MINUTE)

    async def taken(self) -> list[str]:
        return [f"{each.taken_at:%H:%M}" for each in await self.snapshots.all()]


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(cutting, "TARGET_BYTES", 100)
    use_fake_databases(monkeypatch)
    made = World()
    yield made
    await made.clock.close()


async def test_one_is_taken_at_once_and_then_at_each_multiple(world: World) -> None:
    world.start(world.schedule())
    await world.run_for(60)
    assert await world.taken() == ["09:50", "10:00", "10:15", "10:30", "10:45"]
    assert len(world.seen.subjects("snapshot.taken")) == 5


async def test_a_schedule_that_starts_again_takes_nothing_that_is_there(world: World) -> None:
    for _ in range(5):
        running = world.start(world.schedule())
        await world.run_for(1)
        await world.clock.kill(running)
    assert await world.taken() == ["09:50"]


async def test_one_that_was_taken_by_hand_counts(world: World) -> None:
    database: Any = FakeDatabase({})
    await world.snapshots.take(database, world.clock, Seed(7))
    assert await world.schedule().once() is Outcome.NOT_DUE


async def test_that_of_another_database_or_of_the_future_does_not_count(world: World) -> None:
    other: Any = FakeDatabase({})
    other.name = "other"
    await world.snapshots.take(other, world.clock, Seed(7))
    late = VirtualClock(START + 5 * MINUTE, Seed(1))
    ours: Any = FakeDatabase({})
    await world.snapshots.take(ours, late, Seed(7))
    world.start(world.schedule())
    await world.run_for(1)
    assert len(world.seen.subjects("snapshot.taken")) == 1


async def test_after_a_long_sleep_one_is_taken_and_no_storm(world: World) -> None:
    running = world.start(world.schedule())
    await world.run_for(1)
    await world.clock.kill(running)
    await world.run_for(10 * 60 + 12)
    world.start(world.schedule())
    await world.run_for(10)
    assert await world.taken() == ["09:50", "20:03"]


async def test_a_take_longer_than_the_interval_is_followed_by_one_and_says_so(
    world: World,
) -> None:
    world.lasts_s = 40 * MINUTE
    world.start(world.schedule())
    await world.run_for(60)
    assert await world.taken() == ["09:50"]
    assert world.most_at_once == 1
    assert world.tries == [0, 40 * MINUTE]
    assert world.seen.happened[0][2]["late"]


async def test_a_long_reading_that_finds_its_first_change_at_the_end_is_not_taken_for_dead(
    world: World,
) -> None:
    world.start(world.schedule(every=Every.parse("1h")))
    await world.run_for(5)
    world.values[39] = 1
    world.lasts_s = 40 * MINUTE
    await world.run_for(50)
    assert await world.taken() == ["09:50", "10:00"]


async def test_two_schedules_on_one_database_share_the_work(world: World) -> None:
    for name in ("one", "other"):
        world.start(world.schedule(name=name))
    await world.run_for(120)
    assert len(await world.taken()) == len(world.tries) == 9
    assert world.most_at_once == 1


async def test_while_one_takes_the_other_waits_however_long_that_lasts(world: World) -> None:
    world.lasts_s = 12 * MINUTE
    for name in ("one", "other"):
        world.start(world.schedule(name=name))
    await world.run_for(9)
    assert world.tries == [0]
    await world.run_for(4)
    assert (await world.taken(), world.most_at_once) == (["09:50"], 1)


async def test_where_one_was_killed_another_takes_over_after_the_lease(world: World) -> None:
    world.lasts_s = 5 * MINUTE

    async def killed() -> None:
        await world.schedule(name="one").once()

    # A process that is killed cleans nothing up: its objects stay as they were.
    running = world.clock.spawn("one", killed())
    await world.run_for(1)
    kept = {
        key: await world.objects.get(key)
        for prefix in (SCHEDULED, TAKES)
        for key in await world.objects.list_keys(prefix)
    }
    await world.clock.kill(running)
    for key, data in kept.items():
        await world.objects.put(key, data)
    assert len(kept) == 2

    world.start(world.schedule(name="other"))
    await world.run_for(0.5)
    assert world.tries == [0], "its lease still counts"
    await world.run_for(7)
    assert len(world.tries) == 2
    assert len(await world.taken()) == 1


async def test_a_schedule_that_ends_in_the_midst_leaves_nothing_behind_and_says_so(
    world: World,
) -> None:
    world.lasts_s = 5 * MINUTE
    running = world.start(world.schedule())
    await world.run_for(1)
    assert await world.objects.list_keys(TAKES)
    await world.clock.kill(running)
    assert world.seen.happened == [("snapshot.abandoned", "blackstart", {"seconds": 60.0})]
    assert await world.objects.list_keys("snapshots/") == []


async def test_while_the_database_is_away_it_tries_again_ever_more_rarely(world: World) -> None:
    world.away_until = START + 9 * MINUTE
    world.start(world.schedule(every=Every.parse("1d")))
    await world.run_for(30)
    assert world.tries == [0, 10, 30, 70, 150, 310, 610]
    assert await world.taken() == ["10:00"]
    failed = [details for name, _, details in world.seen.happened if name == "snapshot.failed"]
    assert [each["retry_in_s"] for each in failed] == [10, 20, 40, 80, 160, 300]
    assert failed[0]["error"] == "MongoDB does not answer: refused"


async def test_while_the_store_is_full_it_goes_on_and_nothing_is_listed(world: World) -> None:
    world.full_until = START + 2 * MINUTE
    schedule = world.schedule()
    world.start(schedule)
    await world.run_for(1)
    assert (await world.taken(), schedule.failures) == ([], 3)
    await world.run_for(2)
    assert (await world.taken(), schedule.failures) == (["09:52"], 0)


async def test_what_the_rule_does_not_keep_goes_after_each_take(world: World) -> None:
    world.start(world.schedule(keep=Keep.parse("newest=2")))
    await world.run_for(60)
    assert await world.taken() == ["10:30", "10:45"]


async def test_without_a_rule_nothing_goes(world: World) -> None:
    world.start(world.schedule())
    await world.run_for(24 * 60)
    assert len(await world.taken()) == 1 + 24 * 4


async def test_a_prune_that_fails_is_told_and_the_snapshot_stays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: Any) -> None:
        raise StorageError("the store failed")

    monkeypatch.setattr("blackstart.recovery.snapshots.schedule.Collector.apply", refuse)
    world.start(world.schedule(keep=Keep()))
    await world.run_for(1)
    assert await world.taken() == ["09:50"]
    assert world.seen.happened[-1][0] == "snapshots.prune_failed"


async def test_a_clock_that_is_set_back_does_not_stop_it(world: World) -> None:
    world.start(world.schedule())
    await world.run_for(1)
    world.clock._now -= 3 * 3_600
    world.clock._agenda = [
        type(due)(due.time - 3 * 3_600, due.tie, due.sequence, due.actor, due.turn)
        for due in world.clock._agenda
    ]
    await world.run_for(16)
    assert await world.taken() == ["07:00", "09:50"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("6h", 21_600), ("1d", 86_400)]
)
def test_an_interval_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert Every.parse(text).seconds == seconds
    assert Every.parse(str(Every(seconds))) == Every(seconds)


@pytest.mark.parametrize(
    "text", ["", "15", "m", "0m", "-1m", "1.5h", "32d", "1w", "15 m", "99999999999d", "१m"]
)
def test_what_is_no_interval_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="15m"):
        Every.parse(text)


def test_multiples_of_a_day_are_midnight_in_utc() -> None:
    day = Every.parse("1d")
    assert datetime.fromtimestamp(day.last(START), UTC) == datetime(2017, 2, 2, tzinfo=UTC)
    assert datetime.fromtimestamp(day.next(START), UTC) == datetime(2017, 2, 3, tzinfo=UTC)
    assert day.next(day.next(START)) == day.next(START) + 86_400
