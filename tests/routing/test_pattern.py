"""Tests of a redirect's path pattern."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackstart.errors import UsageError
from blackstart.routing.pattern import parse_pattern, visit


@pytest.mark.parametrize(
    ("pattern", "path", "bound"),
    [
        ("/", "/", {}),
        ("/", "/a", None),
        ("/a", "/a", {}),
        ("/a", "/a/", {}),
        ("/a/", "/a", {}),
        ("/a", "/A", None),
        ("/a", "/a/b", None),
        ("/a%20b", "/a b", {}),
        ("/a%2Fb", "/a/b", {}),
        ("/caf%C3%A9", "/caf\N{LATIN SMALL LETTER E WITH ACUTE}", {}),
        ("/:year/x", "/2017/x", {"year": "2017"}),
        ("/:year/x", "//x", None),
        ("/:a/:b", "/1/2/", {"a": "1", "b": "2"}),
        ("/:a/:b", "/1", None),
        ("/a/:x/b", "/a//b", None),
        ("/*", "/", {"splat": ""}),
        ("/*", "/a/b/", {"splat": "a/b/"}),
        ("/news/*", "/news", {"splat": ""}),
        ("/news/*", "/news/", {"splat": ""}),
        ("/news/*", "/news/a//b", {"splat": "a//b"}),
        ("/news/*", "/newsletter", None),
        ("/news*", "/newsletter/7", {"splat": "letter/7"}),
        ("/:lang/docs/*", "/de/docs/a", {"lang": "de", "splat": "a"}),
        ("/%3Aid", "/:id", {}),
    ],
)
def test_a_pattern_matches_whole_segments_and_a_splat_takes_the_rest(
    pattern: str, path: str, bound: dict[str, str] | None
) -> None:
    assert parse_pattern(pattern).match(visit(path)) == bound


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "a",
        "https://example.org/a",
        "/a?b",
        "/*/b",
        "/a*b",
        "/**",
        "/:a/:a",
        "/:splat/*",
        "/:",
        "/:a-b",
        "/:1",
    ],
)
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError):
        parse_pattern(pattern)


segments = st.text(min_size=1, max_size=5).filter(lambda text: "/" not in text)


@given(st.lists(segments, max_size=4), st.text())
def test_a_splat_and_what_stands_before_it_are_the_path(before: list[str], rest: str) -> None:
    names = [f"p{number}" for number, _ in enumerate(before)]
    pattern = parse_pattern("".join(f"/:{name}" for name in names) + "/*")
    path = "/".join(["", *before, rest])
    bound = pattern.match(visit(path))
    assert bound is not None or not all(visit(path).segments[: len(before)])
    if bound is not None:
        assert "/".join([*(bound[name] for name in names), bound["splat"]]) == visit(path).rest
