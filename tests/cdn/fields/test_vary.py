"""What Vary compares costs a node neither much time nor much memory, whatever a visitor sends."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from blackstart.cdn.fields import vary
from blackstart.cdn.fields.remembered import LONGEST_REMEMBERED
from blackstart.cdn.fields.vary import matches, selecting
from blackstart.cdn.message import Headers


def test_a_long_value_is_taken_as_it_is(monkeypatch) -> None:
    monkeypatch.setattr(vary, "_normalised", None)
    monkeypatch.setattr(vary, "_remembered", None)
    for value in (f"gzip{' ' * 1_000_000}br", "," * 30_000, "a;q=0.10," * 3_000):
        for name in ("accept-encoding", "x-other"):
            asked = Headers([(name, value)])
            assert selecting([name], asked) == ((name, value),)
            assert matches(selecting([name], asked), asked)
            assert not matches(selecting([name], asked), Headers([(name, f"{value},")]))


@given(st.text(alphabet=" \tab,;=", max_size=30))
def test_spaces_around_what_separates_mean_nothing(value) -> None:
    wanted = re.sub(r"[ \t]*([,;=])[ \t]*", r"\1", value.strip(" \t"))
    ((_, found),) = selecting(["x-other"], Headers([("x-other", value)]))
    assert found == wanted


def test_long_values_are_compared_and_not_remembered() -> None:
    held_before = vary._remembered.cache_info().currsize
    for number in range(100):
        asked = Headers([("accept-language", f"x{number}" * LONGEST_REMEMBERED)])
        assert matches(selecting(["accept-language"], asked), asked)
        assert not matches(selecting(["accept-language"], asked), Headers())
    assert vary._remembered.cache_info().currsize == held_before
