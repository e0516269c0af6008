"""The virtual clock: who runs when, and what is left of an actor that is killed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackstart.drills.world.clock import VirtualClock
from blackstart.seed import Seed

START = 1_000.0
DAY_S = 86_400.0

Story = list[tuple[float, str]]


@pytest.fixture
async def clock() -> AsyncIterator[VirtualClock]:
    clock = VirtualClock(START, Seed(1))
    yield clock
    await clock.close()


async def asleep(clock: VirtualClock, story: Story, name: str, *naps_s: float) -> None:
    """Notes when it wakes up from each nap."""
    for nap_s in naps_s:
        await clock.sleep(nap_s)
        story.append((clock.time(), name))


async def together(seed: int, names: str) -> str:
    """Who was first when all were due at the same moment."""
    clock, story = VirtualClock(START, Seed(seed)), Story()
    for name in names:
        clock.spawn(name, asleep(clock, story, name, 5.0))
    await clock.run_until(START + 10)
    return "".join(name for _, name in story)


# --- Order ---


async def test_who_is_due_first_runs_first_and_time_jumps_there(clock: VirtualClock) -> None:
    story: Story = []
    clock.spawn("late", asleep(clock, story, "late", 3 * DAY_S))
    clock.spawn("early", asleep(clock, story, "early", 0.25, 1.0))
    await clock.run_until(START + 7 * DAY_S)
    assert story == [
        (START + 0.25, "early"),
        (START + 1.25, "early"),
        (START + 3 * DAY_S, "late"),
    ]
    assert clock.time() == START + 7 * DAY_S


async def test_nobody_runs_past_the_end_and_the_rest_of_a_nap_is_kept(
    clock: VirtualClock,
) -> None:
    story: Story = []
    clock.spawn("one", asleep(clock, story, "one", 10.0))
    await clock.run_until(START + 9.999)
    assert (story, clock.time()) == ([], START + 9.999)
    await clock.run_until(START + 10.0)
    assert story == [(START + 10.0, "one")]


async def test_a_nap_of_no_or_negative_length_never_turns_time_back(clock: VirtualClock) -> None:
    story: Story = []
    clock.spawn("one", asleep(clock, story, "one", 1.0, 0.0, -5.0))
    await clock.run_until(START + 2)
    assert story == [(START + 1.0, "one")] * 3


async def test_the_same_seed_breaks_ties_in_the_same_way() -> None:
    assert await together(1, "abcdefgh") == await together(1, "abcdefgh")


async def test_some_other_seed_breaks_ties_in_another_way() -> None:
    orders = {await together(seed, "abcdefgh") for seed in range(4)}
    assert len(orders) > 1
    assert {"".join(sorted(order)) for order in orders} == {"abcdefgh"}


@given(naps=st.lists(st.lists(st.floats(0, 1e5), max_size=5), max_size=8), seed=st.integers(0, 9))
async def test_wake_ups_come_in_time_order_and_none_is_lost(
    naps: list[list[float]], seed: int
) -> None:
    clock, story = VirtualClock(START, Seed(seed)), Story()
    for number, each in enumerate(naps):
        clock.spawn(str(number), asleep(clock, story, str(number), *each))
    await clock.run_until(START + 1e6)
    times = [time for time, _ in story]
    assert times == sorted(times)
    for number, each in enumerate(naps):
        due, expected = START, []
        for nap_s in each:
            due += nap_s
            expected.append(due)
        assert [time for time, name in story if name == str(number)] == expected


async def test_real_work_takes_no_virtual_time_and_nobody_runs_meanwhile(
    clock: VirtualClock,
) -> None:
    story: Story = []

    async def works() -> None:
        await clock.sleep(1.0)
        story.append((clock.time(), "work begins"))
        for _ in range(20):
            await asyncio.sleep(0)
        await asyncio.to_thread(lambda: None)
        story.append((clock.time(), "work ends"))

    clock.spawn("worker", works())
    clock.spawn("other", asleep(clock, story, "other", 1.0, 0.0, 0.0))
    await clock.run_until(START + 2)
    assert [time for time, _ in story] == [START + 1.0] * 5
    begin = story.index((START + 1.0, "work begins"))
    assert story[begin + 1] == (START + 1.0, "work ends")


async def test_an_actor_can_spawn_another_that_starts_at_the_present_time(
    clock: VirtualClock,
) -> None:
    story: Story = []

    async def parent() -> None:
        await clock.sleep(2.0)
        clock.spawn("child", child())
        story.append((clock.time(), "parent"))

    async def child() -> None:
        story.append((clock.time(), clock.actor_name))
        await asleep(clock, story, "child again", 1.0)

    clock.spawn("parent", parent())
    await clock.run_until(START + 5)
    assert story == [(START + 2, "parent"), (START + 2, "child"), (START + 3, "child again")]


async def test_the_clock_says_whose_turn_it_is(clock: VirtualClock) -> None:
    names = []

    async def looks() -> None:
        await clock.sleep(1.0)
        names.append(clock.actor_name)

    clock.spawn("ada", looks())
    clock.spawn("bob", looks())
    assert clock.actor_name == "world"
    await clock.run_until(START + 2)
    assert sorted(names) == ["ada", "bob"]
    assert clock.actor_name == "world"


# --- Events ---


async def test_an_event_wakes_all_who_wait_at_the_moment_it_is_set(clock: VirtualClock) -> None:
    story: Story = []
    event = clock.event()

    async def waits(name: str) -> None:
        assert await event.wait()
        story.append((clock.time(), name))

    async def sets() -> None:
        await clock.sleep(3.0)
        event.set()

    for name in ("one", "two"):
        clock.spawn(name, waits(name))
    clock.spawn("setter", sets())
    await clock.run_until(START + 10)
    assert sorted(story) == [(START + 3, "one"), (START + 3, "two")]
    assert event.is_set()


async def test_a_wait_for_an_event_ends_at_its_timeout(clock: VirtualClock) -> None:
    ended: list[tuple[float, bool]] = []
    event = clock.event()

    async def waits(timeout_s: float | None) -> None:
        ended.append((clock.time(), await event.wait(timeout_s)))
        ended.append((clock.time(), event.is_set()))

    clock.spawn("patient", waits(4.0))
    await clock.run_until(START + 100)
    assert ended == [(START, False), (START + 4.0, False)]


async def test_an_event_that_is_set_in_time_leaves_no_second_wake_up(clock: VirtualClock) -> None:
    story: Story = []
    event = clock.event()

    async def waits() -> None:
        assert await event.wait(4.0)
        story.append((clock.time(), "rung"))
        await clock.sleep(50.0)
        story.append((clock.time(), "slept"))

    async def sets() -> None:
        await clock.sleep(1.0)
        event.set()

    clock.spawn("waits", waits())
    clock.spawn("sets", sets())
    await clock.run_until(START + 100)
    assert story == [(START + 1.0, "rung"), (START + 51.0, "slept")]


async def test_who_was_rung_knows_it_though_another_cleared_the_event_first(
    clock: VirtualClock,
) -> None:
    rung: list[bool] = []
    event = clock.event()

    async def waits(timeout_s: float | None) -> None:
        rung.append(await event.wait(timeout_s))
        event.clear()

    async def sets() -> None:
        await clock.sleep(1.0)
        event.set()

    clock.spawn("one", waits(None))
    clock.spawn("two", waits(30.0))
    clock.spawn("sets", sets())
    await clock.run_until(START + 10)
    assert rung == [True, True]


async def test_a_set_event_is_not_waited_for_and_a_cleared_one_is(clock: VirtualClock) -> None:
    ended: list[tuple[float, bool]] = []
    event = clock.event()

    async def waits() -> None:
        event.set()
        ended.append((clock.time(), await event.wait(5.0)))
        event.clear()
        rung = await event.wait(5.0)
        ended.append((clock.time(), rung))

    clock.spawn("waits", waits())
    await clock.run_until(START + 10)
    assert ended == [(START, True), (START + 5.0, False)]


# --- Death ---


async def test_a_killed_actor_cleans_up_where_it_slept_and_never_runs_again(
    clock: VirtualClock,
) -> None:
    story: Story = []

    async def victim() -> None:
        try:
            with contextlib.suppress(ZeroDivisionError):
                await clock.sleep(10.0)
            story.append((clock.time(), "went on"))
        finally:
            story.append((clock.time(), f"clean-up of {clock.actor_name}"))

    actor = clock.spawn("victim", victim())
    await clock.run_until(START + 3)
    await clock.kill(actor)
    assert story == [(START + 3, "clean-up of victim")]
    assert actor.ended
    await clock.run_until(START + 100)
    await clock.kill(actor)
    assert story == [(START + 3, "clean-up of victim")]


async def test_an_actor_can_kill_another_and_goes_on(clock: VirtualClock) -> None:
    story: Story = []
    event = clock.event()

    async def victim() -> None:
        try:
            await event.wait(60.0)
        finally:
            story.append((clock.time(), f"clean-up of {clock.actor_name}"))

    async def killer() -> None:
        await clock.sleep(2.0)
        await clock.kill(actor)
        story.append((clock.time(), clock.actor_name))
        event.set()
        await asleep(clock, story, "killer again", 1.0)

    actor = clock.spawn("victim", victim())
    clock.spawn("killer", killer())
    await clock.run_until(START + 100)
    assert story == [
        (START + 2, "clean-up of victim"),
        (START + 2, "killer"),
        (START + 3, "killer again"),
    ]


async def test_an_actor_killed_before_its_first_turn_never_begins(clock: VirtualClock) -> None:
    story: Story = []
    actor = clock.spawn("unborn", asleep(clock, story, "unborn", 0.0))
    await clock.kill(actor)
    await clock.run_until(START + 10)
    assert story == []
    assert actor.ended


async def test_close_ends_all_in_the_order_they_were_started() -> None:
    clock, ended = VirtualClock(START, Seed(1)), []

    async def sleeper(name: str, nap_s: float) -> None:
        try:
            await clock.sleep(nap_s)
        finally:
            ended.append(name)

    for name, nap_s in (("first", 30.0), ("second", 1.0), ("third", 20.0), ("fourth", 25.0)):
        clock.spawn(name, sleeper(name, nap_s))
    await clock.run_until(START + 5)
    await clock.close()
    assert ended == ["second", "first", "third", "fourth"]
    await clock.run_until(START + 100)
    assert len(ended) == 4


async def test_who_is_cancelled_while_it_ends_an_actor_is_not_kept_from_ending() -> None:
    clock = VirtualClock(START, Seed(1))
    cleaning, cleaned = asyncio.Event(), asyncio.Event()

    async def slow_to_die() -> None:
        try:
            await clock.sleep(60.0)
        finally:
            cleaning.set()
            await cleaned.wait()

    async def ends_all() -> None:
        await clock.run_until(START + 1)
        await clock.close()

    clock.spawn("slow", slow_to_die())
    ending = asyncio.create_task(ends_all())
    await cleaning.wait()
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    cleaned.set()
    await clock.close()


# --- Mistakes ---


async def test_what_an_actor_raises_comes_out_of_the_run(clock: VirtualClock) -> None:
    story: Story = []

    async def fails() -> None:
        await clock.sleep(1.0)
        raise ZeroDivisionError("by an actor")

    clock.spawn("fails", fails())
    clock.spawn("other", asleep(clock, story, "other", 2.0))
    with pytest.raises(ZeroDivisionError, match="by an actor"):
        await clock.run_until(START + 10)
    assert (clock.time(), story) == (START + 1.0, [])
    await clock.run_until(START + 10)
    assert story == [(START + 2.0, "other")]


async def test_what_an_actor_raises_as_it_is_killed_comes_out_of_the_kill(
    clock: VirtualClock,
) -> None:
    async def fails() -> None:
        try:
            await clock.sleep(1.0)
        finally:
            raise ZeroDivisionError("by a clean-up")

    actor = clock.spawn("fails", fails())
    await clock.run_until(START)
    with pytest.raises(ZeroDivisionError, match="by a clean-up"):
        await clock.kill(actor)


async def test_a_forked_task_that_sleeps_is_refused(clock: VirtualClock) -> None:
    async def forks() -> None:
        await asyncio.create_task(_nap(clock))

    clock.spawn("forks", forks())
    with pytest.raises(AssertionError, match="must not fork tasks that sleep"):
        await clock.run_until(START + 10)


@pytest.mark.parametrize("nap", ["sleep", "wait"])
async def test_nobody_but_an_actor_may_sleep(clock: VirtualClock, nap: str) -> None:
    sleeping: Coroutine[Any, Any, Any] = (
        clock.sleep(1.0) if nap == "sleep" else clock.event().wait(1.0)
    )
    with pytest.raises(AssertionError, match="only an actor"):
        await sleeping


async def _nap(clock: VirtualClock) -> None:
    await clock.sleep(1.0)
