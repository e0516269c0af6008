"""Tests of conditional and range requests, as pure functions."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from blackstart.web.conditional import ByteRange, etag_matches, parse_range

DATA = bytes(range(10))
sizes = st.integers(min_value=0, max_value=1000)
positions = st.integers(min_value=0, max_value=2000)


@pytest.mark.parametrize("field", ['"a"', 'W/"a"', '"b", "a"', '"b",W/"a"', "*", ' "a" ', " * "])
def test_an_etag_that_is_listed_matches(field: str) -> None:
    assert etag_matches(field, '"a"')


@pytest.mark.parametrize("field", ["", '"b"', "a", '"ab"', 'W/"b"', '"a'])
def test_an_etag_that_is_not_listed_does_not_match(field: str) -> None:
    assert not etag_matches(field, '"a"')


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("bytes=0-0", b"\0"),
        ("bytes=2-4", b"\2\3\4"),
        ("bytes=8-", b"\x08\x09"),
        ("bytes=8-99", b"\x08\x09"),
        ("bytes=-2", b"\x08\x09"),
        ("bytes=-99", DATA),
        ("bytes=10-", b""),
        ("bytes=99-100", b""),
        ("bytes=-0", b""),
    ],
)
def test_a_range_names_its_bytes(field: str, expected: bytes) -> None:
    part = parse_range(field, len(DATA))
    assert part is not None
    assert DATA[part.start : part.end] == expected


@pytest.mark.parametrize(
    "field",
    ["", "bytes", "bytes=", "bytes=-", "bytes=4-2", "bytes=0-1,3-4", "lines=0-1", "bytes=a-b"],
)
def test_what_is_no_single_range_is_ignored(field: str) -> None:
    assert parse_range(field, len(DATA)) is None


@given(st.text() | st.from_regex(r"bytes=[0-9]*-[0-9]*"), sizes)
@example("bytes=" + "9" * 5_000 + "-", 10)
@example("bytes=-" + "9" * 5_000, 10)
@example("bytes=0-" + "9" * 5_000, 10)
@example("bytes=\N{SUPERSCRIPT TWO}-", 10)
def test_no_field_whatsoever_makes_a_range_outside_the_file(field: str, size: int) -> None:
    part = parse_range(field, size)
    assert part is None or 0 <= part.start <= part.end <= size
    assert part is None or part.start < part.end or part == ByteRange(0, 0)


@given(sizes, positions, positions)
def test_first_and_last_are_both_included(size: int, first: int, last: int) -> None:
    part = parse_range(f"bytes={first}-{last}", size)
    if last < first:
        assert part is None
    else:
        assert part is not None
        assert list(range(part.start, part.end)) == [
            position for position in range(size) if first <= position <= last
        ]


@given(sizes, positions)
def test_a_suffix_is_the_last_bytes(size: int, length: int) -> None:
    part = parse_range(f"bytes=-{length}", size)
    assert part is not None
    assert list(range(part.start, part.end)) == list(range(size))[max(0, size - length) :]
