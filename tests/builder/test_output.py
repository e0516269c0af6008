"""Tests of what is kept of a command's output."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackstart.builder.output import MAX_LINE, LineCutter, clean


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"plain", "plain"),
        (b"\x1b[1;31mred\x1b[0m", "red"),
        (b"\x1b]0;title\x07after", "after"),
        (b"\x1b]8;;https://x.test\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b"10%\r50%\r100%\r", "100%"),
        (b"bell\x07 null\x00 back\x08", "bell null back"),
        (b"a\tb", "a   b"),
        ("gr\u00fc\u00df dich \U0001f469\u200d\U0001f4bb".encode(), None),
        (b"\xff\xfe", "\ufffd\ufffd"),
        ("safe\u202eevil\u2066".encode(), "safeevil"),
        ("one\u2028two\x85three".encode(), "onetwothree"),
        (b"cut off \x1b[31", "cut off 31"),
    ],
)
def test_a_line_holds_what_a_terminal_would_show_and_nothing_that_it_would_obey(
    line: bytes, text: str | None
) -> None:
    assert clean(line) == (line.decode() if text is None else text)


def test_an_overlong_line_is_cut_and_says_so() -> None:
    cutter = LineCutter()
    assert cutter.feed(b"x" * 1_000_000) == []
    assert cutter.feed(b"x\nnext\n") == ["x" * MAX_LINE + " [cut]", "next"]
    (wide,) = cutter.feed("\U0001f600".encode() * (MAX_LINE + 1) + b"\n")
    assert wide == "\U0001f600" * MAX_LINE + " [cut]"


@given(st.binary(), st.data())
def test_how_the_stream_is_chopped_up_changes_nothing(stream: bytes, data: st.DataObject) -> None:
    whole = LineCutter()
    expected = whole.feed(stream) + whole.rest()
    cutter, found, at = LineCutter(), [], 0
    while at < len(stream):
        size = data.draw(st.integers(1, len(stream) - at))
        found += cutter.feed(stream[at : at + size])
        at += size
    assert found + cutter.rest() == expected


@given(st.binary())
def test_no_control_character_is_left(line: bytes) -> None:
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in clean(line))
