"""Tests of the breaker: the table of its states, and what holds for any story of outcomes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackstart.cdn.hop import Breaker, State


def opened(**settings: float) -> Breaker:
    breaker = Breaker(in_row=1, **settings)  # type: ignore[arg-type]
    breaker.failed(ticket(breaker, 0), 0)
    return breaker


def ticket(breaker: Breaker, now: float) -> int:
    drawn = breaker.admit(now)
    assert drawn is not None
    return drawn


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ("", State.CLOSED),
        ("ffff", State.CLOSED),
        ("fffff", State.OPEN),
        ("ffffsffff", State.CLOSED),
        ("ffffgf", State.OPEN),
        ("ffff" + "g" * 20, State.CLOSED),
        ("sf" * 9 + "s", State.CLOSED),
        ("sf" * 10, State.OPEN),
        ("s" * 11 + "fsf" * 3 + "f", State.CLOSED),
        ("s" * 40 + "ffff", State.CLOSED),
    ],
)
def test_failures_in_a_row_or_too_many_of_them_open_it(outcomes: str, state: State) -> None:
    breaker = Breaker(in_row=5, share=0.5, least=20)
    for outcome in outcomes:
        drawn = ticket(breaker, 0)
        if outcome == "g":
            breaker.gave_up(drawn)
        elif outcome == "s":
            breaker.succeeded(drawn, 0)
        else:
            breaker.failed(drawn, 0)
    assert breaker.state(0) is state


def test_what_a_clock_that_is_set_back_has_counted_counts_no_more() -> None:
    breaker = Breaker(in_row=99, share=0.5, least=20)
    for now in (9_000, 8_000):
        for _ in range(12):
            breaker.failed(ticket(breaker, now), now)
    assert breaker.state(8_000) is State.CLOSED


@pytest.mark.parametrize(("apart_s", "state"), [(0.4, State.OPEN), (0.6, State.CLOSED)])
def test_only_what_happened_within_the_window_counts(apart_s: float, state: State) -> None:
    breaker = Breaker(in_row=99, share=0.5, least=20, window_s=10)
    for turn in range(20):
        drawn = ticket(breaker, turn * apart_s)
        if turn % 2:
            breaker.failed(drawn, turn * apart_s)
        else:
            breaker.succeeded(drawn, turn * apart_s)
    assert breaker.state(19 * apart_s) is state


def test_open_it_admits_nothing_until_its_time_is_over() -> None:
    breaker = opened(open_s=5)
    assert (breaker.admit(4.9), breaker.state(4.9)) == (None, State.OPEN)
    assert breaker.wait_s(4) == 1
    assert breaker.state(5) is State.HALF_OPEN
    assert breaker.wait_s(6) == 0
    assert breaker.admit(5) is not None


def test_half_open_one_request_at_a_time_is_let_through() -> None:
    breaker = opened(open_s=5)
    probe = ticket(breaker, 5)
    assert breaker.admit(6) is None
    breaker.gave_up(probe)
    again = ticket(breaker, 7)
    assert breaker.admit(7) is None
    breaker.succeeded(again, 8)
    assert breaker.state(8) is State.CLOSED
    assert ticket(breaker, 8) == ticket(breaker, 8)


def test_a_probe_that_fails_opens_it_again_for_as_long_as_the_origin_asks() -> None:
    breaker = opened(open_s=5)
    breaker.failed(ticket(breaker, 5), 6)
    assert breaker.wait_s(6) == 5
    breaker.failed(ticket(breaker, 11), 11, asked_s=30)
    assert breaker.state(40.9) is State.OPEN
    assert breaker.state(41) is State.HALF_OPEN


def test_a_late_outcome_of_an_earlier_time_changes_nothing() -> None:
    breaker = Breaker(in_row=1, open_s=5)
    late = [ticket(breaker, 0) for _ in range(4)]
    breaker.failed(late.pop(), 0)
    breaker.succeeded(late.pop(), 1)
    breaker.failed(late.pop(), 4, asked_s=99)
    assert (breaker.state(1), breaker.wait_s(4)) == (State.OPEN, 1)
    probe = ticket(breaker, 5)
    breaker.gave_up(late.pop())
    assert breaker.admit(5) is None
    breaker.succeeded(probe, 5)
    assert breaker.state(5) is State.CLOSED


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["admit", "succeeded", "failed", "gave up"]),
        st.floats(0, 4),
        st.integers(0, 5),
    ),
    max_size=150,
)


@given(steps=STEPS)
def test_whatever_happens_it_never_admits_while_open_and_never_locks(steps) -> None:
    breaker = Breaker(in_row=3, share=0.5, least=6, window_s=10, open_s=5)
    now, under_way = 0.0, []
    for step, pause_s, pick in steps:
        now += pause_s
        if step == "admit":
            before = breaker.state(now)
            drawn = breaker.admit(now)
            assert before is not State.OPEN or drawn is None
            assert before is not State.CLOSED or drawn is not None
            if drawn is not None:
                under_way.append(drawn)
        elif under_way:
            drawn = under_way.pop(pick % len(under_way))
            if step == "succeeded":
                breaker.succeeded(drawn, now)
            elif step == "failed":
                breaker.failed(drawn, now)
            else:
                breaker.gave_up(drawn)
        assert breaker.state(now) is not State.HALF_OPEN or under_way.count(breaker._term) <= 1
    for drawn in under_way:
        breaker.gave_up(drawn)
    now += 5
    last = ticket(breaker, now)
    breaker.succeeded(last, now)
    assert breaker.state(now) is State.CLOSED
