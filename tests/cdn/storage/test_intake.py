"""Tests of bodies on their way in: one writer, many readers."""

import asyncio
import sys

import pytest

from blackstart.cdn.storage import Cache
from blackstart.cdn.storage.intake import WINDOW_BYTES
from blackstart.drills.world.clock import VirtualClock
from blackstart.errors import HopError, StorageError
from blackstart.seed import Seed


@pytest.fixture
def cache(clock) -> Cache:
    return Cache(clock, {"free": 1_000_000}, largest_share=1, gather_bytes=10_000)


async def whole(body) -> bytes:
    return b"".join([chunk async for chunk in body])


def begin(cache: Cache, entry, length: int | None = None):
    return cache.intake(entry, cache.begin(entry.key), length)


async def test_all_who_follow_get_the_whole_body_whenever_they_join(cache, make_entry) -> None:
    intake = begin(cache, make_entry())
    early = asyncio.ensure_future(whole(intake.follow()))
    intake.write(b"one ")
    await asyncio.sleep(0)
    late = asyncio.ensure_future(whole(intake.follow()))
    intake.write(b"two")
    assert intake.commit()
    assert await early == await late == await whole(intake.follow()) == b"one two"
    (entry,) = cache.lookup(intake.entry.key)
    assert entry.size == 7
    assert cache.peek(entry) == b"one two"


async def test_a_body_that_breaks_off_is_an_error_for_all_and_not_kept(cache, make_entry) -> None:
    intake = begin(cache, make_entry())
    follower = intake.follow()
    intake.write(b"one")
    waiting = asyncio.ensure_future(whole(intake.follow()))
    await asyncio.sleep(0)
    intake.abort(OSError("cut off"))
    with pytest.raises(HopError, match="cut off"):
        await waiting
    with pytest.raises(HopError, match="cut off"):
        await anext(follower)
    assert not intake.joinable
    assert len(cache) == 0


async def test_a_body_that_broke_off_holds_on_to_nothing_that_came(cache, make_entry) -> None:
    """Not even by way of its error, whose traceback has the frames of who wrote it."""
    intake = begin(cache, make_entry())
    chunk = bytes(5_000)

    def write(held: bytes) -> None:
        intake.write(held)
        raise HopError("cut off")

    before = sys.getrefcount(chunk)
    try:
        write(chunk)
    except HopError as error:
        intake.abort(error)
    assert sys.getrefcount(chunk) == before


async def test_a_body_of_another_length_than_announced_is_not_kept(cache, make_entry) -> None:
    intake = begin(cache, make_entry(), length=4)
    follower = intake.follow()
    intake.write(b"one")
    assert not intake.commit()
    with pytest.raises(HopError, match="announced 4 bytes and sent 3"):
        await anext(follower)
    assert len(cache) == 0


async def test_a_purge_meanwhile_keeps_it_out_yet_readers_get_all(cache, make_entry) -> None:
    intake = begin(cache, make_entry())
    follower = intake.follow()
    intake.write(b"page")
    await cache.purge(["site-1"])
    assert not intake.joinable
    assert not intake.commit()
    assert await whole(follower) == b"page"
    assert len(cache) == 0


@pytest.mark.parametrize("length", [None, 5 * WINDOW_BYTES])
async def test_a_body_too_long_to_keep_waits_for_the_slowest_reader(
    cache, make_entry, length
) -> None:
    intake = begin(cache, make_entry(), length)
    slow, fast = intake.follow(), asyncio.ensure_future(whole(intake.follow()))
    chunk = bytes(WINDOW_BYTES // 2)
    for _ in range(3):
        intake.write(chunk)
    full = asyncio.ensure_future(intake.drain())
    await asyncio.sleep(0.01)
    assert not full.done(), "the slow one has read nothing"
    assert await anext(slow) == chunk
    await full
    assert not intake.joinable
    with pytest.raises(StorageError):
        intake.follow()
    await slow.aclose()
    for _ in range(7):
        intake.write(chunk)
        await intake.drain()
        await asyncio.sleep(0)
    assert not intake.commit()
    assert len(await fast) == 5 * WINDOW_BYTES
    assert len(cache) == 0
    assert intake.followers == 0


async def test_a_reader_who_takes_nothing_is_cut_off_when_others_wait(make_entry) -> None:
    clock = VirtualClock(0.0, Seed(1))
    cache = Cache(clock, {"free": 1_000_000}, largest_share=1, gather_bytes=10_000)
    intake = begin(cache, make_entry())
    idle, alone = intake.follow(), []

    async def writer() -> None:
        for _ in range(10):
            intake.write(bytes(WINDOW_BYTES))
            await intake.drain()
        intake.commit()

    async def reader() -> None:
        alone.append(await whole(intake.follow()))

    clock.spawn("reader", reader())
    clock.spawn("writer", writer())
    await clock.run_until(100)
    await clock.close()
    assert [len(body) for body in alone] == [10 * WINDOW_BYTES]
    with pytest.raises(HopError, match="took nothing"):
        await anext(idle)
    assert intake.followers == 0


async def test_a_reader_who_takes_nothing_may_when_nobody_else_waits(make_entry) -> None:
    clock = VirtualClock(0.0, Seed(1))
    cache = Cache(clock, {"free": 1_000_000}, largest_share=1, gather_bytes=10_000)
    intake = begin(cache, make_entry())
    idle = intake.follow()

    async def writer() -> None:
        for _ in range(10):
            intake.write(bytes(WINDOW_BYTES))
            await intake.drain()

    clock.spawn("writer", writer())
    await clock.run_until(100)
    await clock.close()
    assert len(await anext(idle)) == WINDOW_BYTES


async def test_nobody_needs_to_read(cache, make_entry) -> None:
    intake = begin(cache, make_entry())
    for _ in range(10):
        intake.write(bytes(WINDOW_BYTES))
        await intake.drain()
    assert not intake.commit()


async def test_it_runs_on_a_virtual_clock(make_entry) -> None:
    clock = VirtualClock(0.0, Seed(1))
    cache = Cache(clock, {"free": 1_000_000}, largest_share=1)
    intake = begin(cache, make_entry())
    heard = []

    async def reader(pause_s: float) -> None:
        async for chunk in intake.follow():
            heard.append((clock.time(), chunk))
            await clock.sleep(pause_s)

    async def writer() -> None:
        for chunk in (b"a", b"b"):
            await clock.sleep(1)
            intake.write(chunk)
            await intake.drain()
        assert intake.commit()

    clock.spawn("writer", writer())
    clock.spawn("fast", reader(0))
    clock.spawn("slow", reader(10))
    await clock.run_until(100)
    await clock.close()
    assert sorted(heard) == [(1, b"a"), (1, b"a"), (2, b"b"), (11, b"b")]
