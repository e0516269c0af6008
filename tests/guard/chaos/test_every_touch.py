"""A held write, with the guard, its disk, the database or the client lost at every touch.

It runs once or not at all, never before its audit line and its snapshot are on the
disk, and its request says what became of it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.guard.chaos.world import Crash, Fate, Process, World, at_each_place

from blackstart.guard.audit import read_trail
from blackstart.guard.requests import State
from blackstart.seed import Seed
from blackstart.store import ObjectStore
from blackstart.store.ledger import ProblemKind

SEEDS = range(1, 1 + int(os.environ.get("BLACKSTART_SWEEP", "20")))
INC = {"q": {}, "u": {"$inc": {"n": 1}}, "multi": True}
WRITE = {"update": "things", "updates": [INC]}
ENDS = {State.EXECUTED, State.NOT_EXECUTED, State.UNKNOWN}
Deed = Callable[[Process], Callable[[str], None]]


def crash(process: Process) -> Callable[[str], None]:
    """The machine loses its power."""

    def deed(place: str) -> None:
        raise Crash

    return deed


def failure(process: Process) -> Callable[[str], None]:
    """The disk is full, the bucket refuses, the connection to the database breaks."""
    return at_each_place


def stop(process: Process) -> Callable[[str], None]:
    """The guard is told to end: what serves its client is cancelled."""
    loop = asyncio.get_running_loop()

    def deed(place: str) -> None:
        if process.serving is not None:
            loop.call_soon_threadsafe(process.serving.cancel)

    return deed


def leave(process: Process) -> Callable[[str], None]:
    """The client goes away."""
    loop = asyncio.get_running_loop()

    def deed(place: str) -> None:
        if process.client is not None:
            loop.call_soon_threadsafe(process.client.abort)

    return deed


DEEDS: dict[str, Deed] = {"crash": crash, "failure": failure, "stop": stop, "leave": leave}


@pytest.fixture
def make_world(mongodb_uri: str, store: Any, tmp_path: Path) -> Callable[[str], World]:
    database = store.database.name
    write = {**WRITE, "$db": database}

    def make(name: str) -> World:
        return World(tmp_path / name, mongodb_uri, store.database.client, database, write)

    return make


async def live(world: World, fate: Fate, deed: Deed) -> None:
    async with world.process(fate) as process:
        fate.deed = deed(process)
        await process.story()


async def undisturbed(world: World) -> list[str]:
    """All places that one whole story touches, in order."""
    await world.begin()
    fate = Fate(Random(0))
    async with world.process(fate) as process:
        await process.story()
    (request,) = world.requests()
    assert (request.state, await world.effects()) == (State.EXECUTED, {1})
    assert world.wrong == []
    return fate.places


async def check(world: World, seen: str) -> None:
    """After the next start: what the requests say, against what the documents say."""
    assert world.wrong == [], seen
    effects = await world.effects()
    assert len(effects) == 1, f"{seen}: {effects}"
    (count,) = effects
    states = [request.state for request in world.requests()]
    executed, unknown = states.count(State.EXECUTED), states.count(State.UNKNOWN)
    assert executed <= count <= executed + unknown, f"{seen}: {states}, and it ran {count} times"
    for request in world.requests():
        assert request.is_open or request.state in ENDS, f"{seen}: {request.state}"
        known = request.state is not State.UNKNOWN or request.sent_at is not None
        assert known, f"{seen}: unknown, although it was never sent"


async def go_on(world: World, seen: str) -> None:
    """The guard starts again; the client asks again, and nobody approves anew."""
    async with world.process(Fate(Random(0))) as process:
        assert all(request.state is not State.EXECUTING for request in world.requests()), seen
        await check(world, f"{seen}, after the start")
        before = world.requests()
        approved = [each.number for each in before if each.state is State.APPROVED]
        effects = await world.effects()
        answer = await process.ask()
        assert answer is not None, seen
        if approved:
            assert answer["ok"] == 1.0, f"{seen}: approved, and {answer}"
        else:
            assert answer["ok"] == 0.0, f"{seen}: it ran and nobody had approved it"
            assert effects == await world.effects(), seen
            newest = world.requests()[-1]
            assert newest.state is State.HELD, seen
            held = [each.number for each in before if each.state is State.HELD]
            assert not held or held == [newest.number], f"{seen}: held twice"
    await check(world, f"{seen}, in the end")


async def look_at_trail(world: World, seen: str) -> None:
    """Whoever reads the trail believes all of it, and finds each write that was sent."""
    folder = world.folder / "trail"
    folder.mkdir()
    for name, inode in world.disk.files.items():
        (folder / name).write_bytes(inode.data)
    reading = read_trail(ObjectStore.open("memory://"), folder)
    lines = [line async for line in reading]
    assert {each.kind for each in reading.problems} <= {ProblemKind.TORN_LINE}, seen
    sent = [line.details["request"] for line in lines if line.action == "write.sent"]
    assert len(sent) == len(set(sent)), f"{seen}: sent twice by the trail"
    ran = [each.number for each in world.requests() if each.sent_at is not None]
    assert set(ran) <= set(sent), f"{seen}: off the record"


async def lose(world: World, touch: int, random: Random, deed: Deed, seen: str) -> None:
    """One story that something happens to at a touch, and what comes after it."""
    await world.begin()
    await live(world, Fate(random, touch), deed)
    world.disk.restart(random)
    await go_on(world, seen)
    await look_at_trail(world, seen)


@pytest.mark.parametrize(
    ("what", "each"), [("crash", 3), ("failure", 5), ("stop", 9), ("leave", 13)]
)
async def test_whatever_is_lost_at_any_touch_it_runs_once_at_most_and_says_so(
    make_world: Callable[[str], World], what: str, each: int
) -> None:
    await lose_at(make_world, what, each, 0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("what", DEEDS)
async def test_with_many_seeds_too(
    make_world: Callable[[str], World], what: str, seed: int
) -> None:
    await lose_at(make_world, what, 1, seed)


async def lose_at(make_world: Callable[[str], World], what: str, each: int, seed: int) -> None:
    """At every touch, or at each so many."""
    places = await undisturbed(make_world("whole"))
    assert {"disk", "database", "bucket"} <= set(places)
    for touch in range(0, len(places), each):
        seen = f"seed {seed}, {what} at touch {touch}, {places[touch]}"
        random = Seed(seed, f"touch {touch}").random
        await lose(make_world(f"{touch}"), touch, random, DEEDS[what], seen)
