"""Takes and prunings beside each other, in many orders, some asleep for hours, some killed."""

from __future__ import annotations

import os
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Any

import bson
import pytest
from tests.recovery.snapshots.turns import (
    KEYS,
    Actor,
    ActorStore,
    FakeDatabase,
    changed,
    use_fake_databases,
)

from blackstart.errors import ConflictError
from blackstart.recovery.snapshots import Snapshots, chunks, cutting
from blackstart.recovery.snapshots.collecting import Collector
from blackstart.recovery.snapshots.keys import CHUNKS, COLLECTING, TAKES
from blackstart.recovery.snapshots.retention import Keep
from blackstart.seed import Seed
from blackstart.store import ObjectStore

if TYPE_CHECKING:
    from tests.conftest import ManualClock

STEPS = 400
KEEPS = ["newest=1", "newest=2", "newest=3,hourly=1"]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few documents a chunk, and a patch where there can be one."""
    monkeypatch.setattr(cutting, "TARGET_BYTES", 100)
    monkeypatch.setattr(chunks, "MAX_PATCH_SHARE", 2.0)
    use_fake_databases(monkeypatch)


class Story:
    """One seed's run: actors come, go, sleep and are killed over one bucket."""

    def __init__(self, number: int, objects: ObjectStore, clock: ManualClock) -> None:
        self.random = Random(number)
        self.seed = Seed(number)
        self.objects = objects
        self.clock = clock
        self.snapshots = Snapshots(objects)
        self.values = dict.fromkeys(range(KEYS), 0)
        self.held: dict[str, dict[int, int]] = {}
        self.actors: list[Actor] = []
        self.asleep: set[str] = set()
        self.told = {"taken": 0, "collected": 0, "given up": 0, "killed": 0}

    async def run(self) -> None:
        try:
            await self.live()
        finally:
            for actor in self.actors:
                await actor.step(crash=True)
        await self.nothing_is_left_but_what_is_needed()

    async def live(self) -> None:
        for number in range(STEPS):
            # Now and then one is alone, or a collection would never come to its end.
            if not self.actors or (len(self.actors) < 4 and self.random.random() < 0.05):
                self.begin(str(number))
            self.pass_time()
            actor = self.random.choice(self.actors)
            if actor.name in self.asleep and self.random.random() < 0.97:
                continue
            crash = self.random.random() < 0.01
            self.told["killed"] += crash
            await actor.step(crash=crash)
            if actor.ended:
                self.actors.remove(actor)
                assert actor.task is not None
                actor.task.result()
            await self.all_that_is_listed_is_whole()

    def pass_time(self) -> None:
        self.clock.advance(self.random.choice([0.0, 0.5, 5.0]))
        if self.random.random() < 0.01:
            self.clock.advance(16 * 60)
        if self.actors and self.random.random() < 0.04:
            self.asleep.add(self.random.choice(self.actors).name)

    def begin(self, name: str) -> None:
        actor = Actor(name)
        actor.start(self.collect(actor) if self.random.random() < 0.6 else self.take(actor))
        self.actors.append(actor)

    async def take(self, actor: Actor) -> None:
        self.values = changed(self.values, self.random)
        database: Any = FakeDatabase(self.values)
        snapshots = Snapshots(ActorStore.of(self.objects, actor))
        try:
            taken = await snapshots.take(database, self.clock, self.seed.fork(actor.name))
        except ConflictError:
            self.told["given up"] += 1
            return
        self.told["taken"] += 1
        self.held[taken.id] = database.values

    async def collect(self, actor: Actor) -> None:
        keep = Keep.parse(self.random.choice(KEEPS))
        snapshots = Snapshots(ActorStore.of(self.objects, actor))
        with suppress(ConflictError):
            done = await Collector(snapshots, self.clock, keep).apply(self.seed.fork(actor.name))
            self.told["collected"] += done.why_not is None and done.chunks > 0

    async def all_that_is_listed_is_whole(self) -> None:
        listing = await self.snapshots.listing()
        assert listing.damaged == ()
        for snapshot in listing.snapshots:
            reader = await self.snapshots.open(snapshot.id)
            found = [bson.decode(raw.raw) async for raw in reader.scan("deploys")]
            values = {each["_id"]: each["n"] for each in found}
            assert values == self.held.get(snapshot.id, values)

    async def nothing_is_left_but_what_is_needed(self) -> None:
        self.clock.advance(16 * 60)
        done = await Collector(self.snapshots, self.clock, Keep.parse("newest=2")).apply(self.seed)
        assert done.why_not is None
        needed = set[str]()
        for snapshot in await self.snapshots.all():
            needed |= (await self.snapshots.manifest(snapshot.id)).keys()
        assert set(await self.objects.list_keys(CHUNKS)) == needed
        assert await self.objects.list_keys(TAKES) == []
        assert await self.objects.list_keys(COLLECTING) == []


async def _run(seeds: range, clock: ManualClock) -> dict[str, int]:
    told: dict[str, int] = {}
    for number in seeds:
        story = Story(number, ObjectStore.open("memory://"), clock)
        try:
            await story.run()
        except BaseException:
            print(f"seed {number}: {story.told}")
            raise
        told = {name: told.get(name, 0) + count for name, count in story.told.items()}
    return told


async def test_no_listed_snapshot_ever_lacks_a_chunk(manual_clock: ManualClock) -> None:
    told = await _run(range(12, 30), manual_clock)
    assert all(told.values()), told


@pytest.mark.slow
async def test_no_listed_snapshot_ever_lacks_a_chunk_with_many_seeds(
    manual_clock: ManualClock,
) -> None:
    sweep = int(os.environ.get("BLACKSTART_SWEEP", "500"))
    await _run(range(1_000, 1_000 + sweep), manual_clock)
