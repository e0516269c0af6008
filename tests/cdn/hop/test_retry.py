"""Tests of the second try: when there is one, and that there are never many."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackstart.cdn.hop import (
    CrowdedError,
    RetryingHop,
    ShutError,
    UnansweredError,
    UnreachableError,
    UnsendableError,
)
from blackstart.cdn.hop.retry import Budget
from blackstart.cdn.hop.retry_after import LONGEST_S, retry_after_s
from blackstart.cdn.message import Headers, Request, Response
from blackstart.errors import HopError
from blackstart.seed import Seed

GET = Request("GET", "/", "a.example")
NOW_S = 1_486_000_000.0  # Thu, 02 Feb 2017 01:46:40 GMT


@pytest.fixture
def make(origin, clock):
    return lambda **settings: RetryingHop(origin, clock, Seed(1), **settings)


def failing(origin, times: int, error: Exception) -> None:
    """The origin fails so often, then answers."""

    def answer(_: Request) -> Response:
        if len(origin.requests) <= times:
            raise error
        return Response(200)

    origin.answer = answer


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("error", [UnreachableError("down")])
async def test_where_it_was_not_reached_the_origin_is_asked_again(
    make, origin, clock, method: str, error: HopError
) -> None:
    failing(origin, 1, error)
    hop = make(pause_s=2.0)
    assert (await hop.send(Request(method, "/", "a.example"))).status == 200
    assert (len(origin.requests), hop.retried) == (2, 1)
    assert len(clock.slept_s) == 1
    assert 1.0 <= clock.slept_s[0] <= 3.0


async def test_a_second_failure_is_passed_on(make, origin) -> None:
    failing(origin, 2, UnreachableError("down"))
    with pytest.raises(UnreachableError):
        await make().send(GET)
    assert len(origin.requests) == 2


async def test_each_further_pause_is_twice_as_long(make, origin, clock) -> None:
    failing(origin, 3, UnreachableError("down"))
    assert (await make(retries=3, pause_s=1.0).send(GET)).status == 200
    for pause_s, expected_s in zip(clock.slept_s, (1, 2, 4), strict=True):
        assert 0.5 * expected_s <= pause_s <= 1.5 * expected_s


@pytest.mark.parametrize(
    ("method", "error"),
    [
        ("POST", UnreachableError("down")),
        ("PUT", UnansweredError("closed")),
        ("GET", HopError("nothing came for 30 s")),
        ("GET", UnsendableError("a line break")),
        ("GET", CrowdedError("all in use")),
        ("GET", ShutError("left alone", 3)),
    ],
)
async def test_anything_else_is_asked_once(make, origin, method: str, error: HopError) -> None:
    origin.answer = error
    with pytest.raises(type(error)):
        await make().send(Request(method, "/", "a.example"))
    assert len(origin.requests) == 1


async def test_a_body_that_streams_is_sent_once(make, origin, stream) -> None:
    origin.answer = UnreachableError("down")
    with pytest.raises(UnreachableError):
        await make().send(Request("GET", "/", "a.example", body=stream([b"x"])))
    assert len(origin.requests) == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_nothing_is_repeated_before_the_origin_wants_to_be_asked(
    make, origin, clock, status: int
) -> None:
    hop = make()
    origin.says(status, retry_after="7")
    assert (await hop.send(GET)).status == status
    origin.answer = UnreachableError("down")
    for seconds, asked in ((6.8, 2), (0.5, 4)):
        clock.advance(seconds)
        with pytest.raises(UnreachableError):
            await hop.send(GET)
        assert len(origin.requests) == asked


async def test_a_clock_that_is_set_back_does_not_keep_it_from_a_second_try(
    make, origin, clock
) -> None:
    hop = make()
    origin.says(503, retry_after="7")
    await hop.send(GET)
    clock.advance(-3600)
    origin.answer = UnreachableError("down")
    with pytest.raises(UnreachableError):
        await hop.send(GET)
    assert len(origin.requests) == 3
    origin.says(503, retry_after="7")
    await hop.send(GET)
    assert hop._left_alone_until < clock.time() + LONGEST_S + 1


async def test_an_origin_that_is_down_is_asked_little_more_than_it_was_before(make, origin) -> None:
    origin.answer = UnreachableError("down")
    hop = make(share=0.1, spare=3)
    for _ in range(200):
        with pytest.raises(UnreachableError):
            await hop.send(GET)
    assert 20 <= hop.retried <= 23
    assert len(origin.requests) == 200 + hop.retried


@given(steps=st.lists(st.booleans(), max_size=300), spare=st.integers(1, 5))
def test_there_are_never_more_retries_than_the_budget(steps: list[bool], spare: int) -> None:
    budget = Budget(0.1, spare)
    requests = retries = 0
    for is_request in steps:
        if is_request:
            budget.earn()
            requests += 1
        else:
            retries += budget.spend()
        assert retries <= spare + 0.1 * requests + 1e-9


async def test_closing_it_closes_the_hop_behind(make, origin) -> None:
    await make().close()
    assert origin.closed


@pytest.mark.parametrize(
    ("status", "value", "expected_s"),
    [
        (503, "0", 0),
        (503, "7", 7),
        (429, "7", 7),
        (503, "00007", 7),
        (503, "61", LONGEST_S),
        (503, "9" * 5000, LONGEST_S),
        (503, "Thu, 02 Feb 2017 01:46:50 GMT", 10),
        (503, "Thursday, 02-Feb-17 01:46:50 GMT", 10),
        (503, "Thu Feb  2 01:46:50 2017", 10),
        (503, "Thu, 02 Feb 2017 01:46:30 GMT", 0),
        (503, "Thu, 02 Feb 2117 01:46:30 GMT", LONGEST_S),
        (503, "-1", None),
        (503, "1.5", None),
        (503, "٣", None),
        (503, "soon", None),
        (503, "Thu, 02 Feb 2017 01:46:50 +99999999999999999999", None),
        (503, "", None),
        (500, "7", None),
        (302, "7", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(
    status: int, value: str, expected_s: float | None
) -> None:
    response = Response(status, Headers([("retry-after", value)]))
    assert retry_after_s(response, NOW_S) == expected_s


@given(value=st.one_of(st.text(), st.text(alphabet="0123456789 :,-+GMTJanFeb", max_size=40)))
def test_retry_after_may_be_anything(value: str) -> None:
    asked_s = retry_after_s(Response(503, Headers([("retry-after", value)])), NOW_S)
    assert asked_s is None or 0 <= asked_s <= LONGEST_S
