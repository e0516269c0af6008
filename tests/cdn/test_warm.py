"""Tests of the answers that a node keeps at hand beside its cache."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as st
from tests.cdn.conftest import FakeClock, ScriptedOrigin

from blackstart.cdn.message import Headers, Request, Response
from blackstart.cdn.metrics import PlanCounts
from blackstart.cdn.node import Node
from blackstart.cdn.storage import Cache, Entry
from blackstart.cdn.warm import WARM_ANSWERS, WARM_BYTES, Warm, WarmAnswer

MEBIBYTE = 1024 * 1024


def make(key: str, size: int = 0) -> WarmAnswer:
    entry = Entry(key, (), 200, b"", size, None, 0.0, 0.0, 60.0, 0.0, 0.0, 0, (), "free")
    return WarmAnswer(Response(200), 1.0, entry, PlanCounts())


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, MEBIBYTE)), max_size=60))
def test_their_bodies_are_bounded_whatever_is_asked_for(pages) -> None:
    warm = Warm()
    for page, size in pages:
        kept = make(str(page), size)
        warm.keep(str(page), kept)
        assert warm.answers[str(page)] is kept
        assert sum(each.size for each in warm.answers.values()) <= WARM_BYTES


def test_their_number_is_bounded() -> None:
    warm = Warm()
    for number in range(3 * WARM_ANSWERS):
        warm.keep(str(number), make(str(number)))
        assert len(warm.answers) <= WARM_ANSWERS


def test_room_that_was_given_back_can_be_taken_again() -> None:
    warm = Warm()
    warm.keep("held", make("held", MEBIBYTE))
    for _ in range(20):
        warm.keep("other", make("other", MEBIBYTE))
        warm.drop("other")
    assert list(warm.answers) == ["held"]


PAGE = Request("GET", "/", "a.example")


def seen(response: Response | None) -> object:
    """An answer without its Cache-Status, whose ttl may be old by part of a second."""
    if response is None:
        return None
    return response.status, response.headers.without({"cache-status"}), response.body


STEPS = {
    "asked": lambda node, origin, clock: node.answer(PAGE),
    "time passes": lambda node, origin, clock: clock.sleep(0.7),
    "purged": lambda node, origin, clock: node.purge(["d-1"]),
    "made stale": lambda node, origin, clock: node.purge_keys(["a.example /"], soft=True),
    "reloaded": lambda node, origin, clock: node.answer(
        replace(PAGE, headers=Headers([("cache-control", "no-cache")]))
    ),
    "changed by a visitor": lambda node, origin, clock: node.answer(replace(PAGE, method="POST")),
    "all doubted": lambda node, origin, clock: node.cache.mark_all_stale(),
}


@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(STEPS)), st.sampled_from(["", "accept-language"])),
        max_size=20,
    )
)
@example([("asked", ""), ("time passes", ""), ("time passes", "")])
def test_a_warm_answer_is_what_the_stored_responses_would_give(steps) -> None:
    async def live() -> None:
        clock, origin = FakeClock(), ScriptedOrigin()
        node = Node(clock, origin, Cache(clock), name="n1")
        for number, (step, vary) in enumerate(steps):
            origin.says(200, b"%d" % number, cache_control="max-age=3", cache_tag="d-1", vary=vary)
            await STEPS[step](node, origin, clock)
            warm = seen(node.quick(PAGE))
            node._warm.answers.clear()
            assert seen(node.quick(PAGE)) == warm

    asyncio.run(live())
