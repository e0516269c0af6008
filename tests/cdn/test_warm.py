"""Tests of the answers that a node keeps at hand beside its cache."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from blackstart.cdn.message import Response
from blackstart.cdn.storage import Entry
from blackstart.cdn.warm import WARM_ANSWERS, WARM_BYTES, Warm

MEBIBYTE = 1024 * 1024


def make(key: str, size: int = 0) -> Entry:
    return Entry(key, (), 200, b"", size, None, 0.0, 0.0, 60.0, 0.0, 0.0, 0, (), "free")


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, MEBIBYTE)), max_size=60))
def test_their_bodies_are_bounded_whatever_is_asked_for(pages) -> None:
    warm = Warm()
    entries = {}
    for page, size in pages:
        entry = entries.setdefault(page, make(str(page), size=size))
        kept = warm.keep(entry, Response(200), 1.0)
        assert warm.answers[entry] is kept
        assert sum(each.size for each in warm.answers) <= WARM_BYTES


def test_their_number_is_bounded() -> None:
    warm = Warm()
    for number in range(3 * WARM_ANSWERS):
        warm.keep(make(str(number)), Response(200), 1.0)
        assert len(warm.answers) <= WARM_ANSWERS
