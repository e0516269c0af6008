"""Tests of the hop behind a breaker: which outcomes count, and what is raised while it is open."""

import asyncio

import pytest
from structlog.testing import capture_logs

from blackstart.cdn.hop import (
    Breaker,
    CrowdedError,
    GuardedHop,
    ShutError,
    State,
    UnansweredError,
    UnreachableError,
    UnsendableError,
)
from blackstart.cdn.hop.failures import BrokenOffError, TimedOutError
from blackstart.cdn.message import Request, Response
from blackstart.errors import HopError, UsageError

GET = Request("GET", "/", "a.example")


@pytest.fixture
def guarded(origin, clock) -> GuardedHop:
    return GuardedHop(origin, clock, Breaker(in_row=2, open_s=5))


async def fails(hop: GuardedHop, times: int) -> None:
    for _ in range(times):
        with pytest.raises(HopError):
            await hop.send(GET)


async def test_while_it_is_open_nothing_is_sent(guarded, origin, clock) -> None:
    origin.answer = UnreachableError("down")
    await fails(guarded, 2)
    assert guarded.state is State.OPEN
    clock.advance(2)
    with pytest.raises(ShutError, match=r"until 01:46:45 UTC ") as caught:
        await guarded.send(GET)
    assert caught.value.retry_after_s == 3
    assert len(origin.requests) == 2


async def test_an_origin_that_is_back_is_told_of_once(guarded, origin, clock) -> None:
    with capture_logs() as logs:
        origin.answer = UnreachableError("down")
        await fails(guarded, 2)
        clock.advance(5)
        origin.answer = Response(200)
        for _ in range(3):
            await guarded.send(GET)
    assert [line["event"] for line in logs] == ["the origin answers again"]


async def test_a_clock_that_is_set_back_makes_the_time_no_longer(guarded, origin, clock) -> None:
    origin.answer = UnreachableError("down")
    await fails(guarded, 2)
    clock.advance(-3600)
    origin.answer = Response(200)
    assert (await guarded.send(GET)).status == 200
    assert guarded.state is State.CLOSED


async def test_one_request_tries_whether_the_origin_is_back(guarded, origin, clock) -> None:
    origin.answer = UnreachableError("down")
    await fails(guarded, 2)
    clock.advance(5)
    assert guarded.state is State.HALF_OPEN
    origin.answer = Response(200)

    async def another() -> None:
        origin.meanwhile = None
        with pytest.raises(ShutError, match="one request") as caught:
            await guarded.send(GET)
        assert caught.value.retry_after_s > 0

    origin.meanwhile = another
    assert (await guarded.send(GET)).status == 200
    assert guarded.state is State.CLOSED
    assert len(origin.requests) == 3


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Response(200), State.CLOSED),
        (Response(500), State.CLOSED),
        (Response(404), State.CLOSED),
        (Response(429), State.CLOSED),
        (Response(502), State.CLOSED),
        (Response(503), State.CLOSED),
        (Response(504), State.CLOSED),
        (UnreachableError("no connection"), State.OPEN),
        (TimedOutError("nothing came"), State.OPEN),
        (UnansweredError("it was closed"), State.CLOSED),
        (BrokenOffError("the body ended"), State.CLOSED),
        (HopError("a head that makes no sense"), State.CLOSED),
        (UnsendableError("a line break"), State.CLOSED),
        (CrowdedError("all in use"), State.CLOSED),
        (UsageError("the upload broke off"), State.CLOSED),
    ],
)
async def test_only_what_the_origin_does_opens_it(
    guarded, origin, outcome: Response | Exception, state: State
) -> None:
    origin.answer = outcome
    for _ in range(2):
        try:
            assert await guarded.send(GET) is outcome
        except (HopError, UsageError) as error:
            assert error is outcome
    assert guarded.state is state


async def test_a_visitor_who_goes_away_frees_the_probe(guarded, origin, clock) -> None:
    origin.answer = UnreachableError("down")
    await fails(guarded, 2)
    clock.advance(5)
    origin.answer = Response(200)
    asked, never = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        asked.set()
        await never.wait()

    origin.meanwhile = hang
    task = asyncio.create_task(guarded.send(GET))
    await asked.wait()
    task.cancel()
    await asyncio.wait([task])
    assert guarded.state is State.HALF_OPEN
    origin.meanwhile = None
    assert (await guarded.send(GET)).status == 200
    assert guarded.state is State.CLOSED


async def test_closing_it_closes_the_hop_behind(guarded, origin) -> None:
    await guarded.close()
    assert origin.closed
