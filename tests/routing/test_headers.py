"""Tests of the blocks of `_headers`, of the paths they are for, and of what they may set."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackstart.routing.headers import SiteFields, fields_for, parse_headers
from blackstart.routing.rules import parse_rules


def fields_at(text: str, path: str = "/") -> SiteFields:
    rules, problems = parse_headers(text)
    assert problems == []
    return fields_for(rules, path)


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("/", "/", True),
        ("/", "/a", False),
        ("/*", "/", True),
        ("/*", "/a/b", True),
        ("/a", "/a", True),
        ("/a", "/a/", True),
        ("/a/", "/a", True),
        ("/a", "/A", True),
        ("/a", "/a/b", False),
        ("/a/*", "/a", True),
        ("/a/*", "/a/b/c", True),
        ("/a/*", "/ab", False),
        ("/a/*/c", "/a/c", True),
        ("/a/*/c", "/a/b/b/c", True),
        ("/a/*/c", "/ab/c", False),
        ("/*.js", "/a/b.js", True),
        ("/*.js", "/bxjs", False),
        ("/*.js", "/b.js.map", False),
        ("/a*b*c", "/a-b-b-c", True),
        ("/a*b*c", "/a-c-b", False),
        ("/:lang/about", "/de/about", True),
        ("/:lang/about", "/about", False),
        ("/:lang/about", "/de/x/about", False),
        ("/*/:x/z", "/1/2/3/z", True),
        ("/*/:x/z", "/z", False),
        ("/a.b+(c)", "/a.b+(c)", True),
        ("/a.b", "/axb", False),
        ("/a%20b", "/a b", True),
    ],
)
def test_a_star_is_any_text_and_a_placeholder_one_segment(
    pattern: str, path: str, fits: bool
) -> None:
    assert bool(fields_at(f"{pattern}\n X-A: b", path).fields) is fits


def test_values_of_one_name_in_one_block_are_joined_with_a_comma() -> None:
    text = "/*\n  Link: </a>; rel=preload\n  # comment\n  link: </b>; rel=preload\n"
    assert fields_at(text).fields == {"link": "</a>; rel=preload, </b>; rel=preload"}


def test_all_blocks_that_fit_apply_and_of_one_field_the_later_holds() -> None:
    text = "/*\n X-A: 1\n X-B: 1\n/a\n X-B: 2\n/b\n X-B: 3\n"
    assert fields_at(text, "/a").fields == {"x-a": "1", "x-b": "2"}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["CDN-Cache-Control"], "0"),
        (["CDN-Cache-Control", "Netlify-CDN-Cache-Control"], "1"),
        (["Netlify-CDN-Cache-Control", "CDN-Cache-Control"], "0"),
    ],
)
def test_netlifys_own_field_for_nodes_comes_first(names: list[str], expected: str) -> None:
    lines = "\n".join(f" {name}: max-age={number}" for number, name in enumerate(names))
    assert fields_at(f"/*\n{lines}").fields == {"cdn-cache-control": f"max-age={expected}"}


def test_cache_tags_of_all_blocks_add_up_in_lower_case_each_once() -> None:
    text = "/*\n Cache-Tag: A, b\n Netlify-Cache-Tag: c\n/x\n Cache-Tag: a,,d\n"
    found = fields_at(text, "/x")
    assert (found.fields, found.tags) == ({}, ("a", "b", "c", "d"))


def test_only_five_hundred_cache_tags_hold() -> None:
    text = "/*\n Cache-Tag: " + ",".join(f"t{number}" for number in range(501))
    rules, problems = parse_headers(text)
    assert len(fields_for(rules, "/").tags) == 500
    assert problems == ["_headers line 2: more than 500 cache tags for '/*': the first hold"]
    both, _ = parse_headers(text + "\n/a\n Cache-Tag: more")
    assert len(fields_for(both, "/a").tags) == 500


@pytest.mark.parametrize("tag", ["a b", "\N{LATIN SMALL LETTER E WITH ACUTE}", "x" * 1_025])
def test_what_is_no_cache_tag_is_reported_and_the_others_hold(tag: str) -> None:
    rules, problems = parse_headers(f"/*\n Cache-Tag: ok,{tag},fine")
    assert len(problems) == 1
    assert [fields_for(rules, "/").tags] in ([("ok", "fine")], [()])


@pytest.mark.parametrize(
    "name",
    [
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        "Date",
        "Server",
        "ETag",
        "Trailer",
        "Content-Range",
        "Accept-Ranges",
        "Content-Encoding",
        "Upgrade",
        "Location",
        "Set-Cookie",
        "Blackstart-Plan",
        "Blackstart-Anything",
        "Age",
        "Via",
        "Basic-Auth",
        "Alt-Svc",
    ],
)
def test_a_field_that_is_not_the_sites_to_set_is_reported_and_skipped(name: str) -> None:
    rules, problems = parse_headers(f"/*\n X-A: b\n {name}: 1\n")
    assert fields_for(rules, "/").fields == {"x-a": "b"}
    assert len(problems) == 1
    assert problems[0].startswith(f"_headers line 3: header {name.lower()} cannot be set: ")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("X-A", "neither a path nor 'Name: value': 'X-A'"),
        (": b", "not a header name: ''"),
        ("X A: b", "not a header name: 'X A'"),
        ("X-A:", "header x-a has no value"),
        ("X-A: b\rX-B: c", "header x-a has a character that is not printable ASCII"),
        ("X-A: caf\N{LATIN SMALL LETTER E WITH ACUTE}", "header x-a has a character"),
        ("X-A: " + "b" * 8_001, "header x-a is longer than 8000 characters"),
        ("/:a*", "a placeholder is a whole segment"),
        ("/" + "*a" * 9, "more than 8 '*' in a path"),
    ],
)
def test_a_line_that_makes_no_sense_is_reported_and_the_others_hold(
    line: str, problem: str
) -> None:
    rules, problems = parse_headers(f"/*\n X-Good: yes\n{line}\n X-Too: b")
    assert fields_for(rules, "/").fields["x-good"] == "yes"
    assert len(problems) == 1
    assert problems[0].startswith(f"_headers line 3: {problem}")


def test_a_header_before_any_path_is_reported() -> None:
    assert parse_headers(" X-A: b") == (
        [],
        ["_headers line 1: a path must stand before its headers"],
    )


def test_headers_for_another_host_are_skipped_as_a_whole() -> None:
    rules, problems = parse_headers("/*\n X-A: 1\nhttps://example.org/*\n X-A: 2\n/b\n X-A: 3")
    assert problems == [
        "_headers line 3: headers for another host are not supported: 'https://example.org/*'"
    ]
    assert fields_for(rules, "/a").fields == {"x-a": "1"}
    assert fields_for(rules, "/b").fields == {"x-a": "3"}


@given(st.lists(st.text(alphabet=st.characters(codec="utf-8")), min_size=2, max_size=2))
def test_no_field_of_a_rule_can_smuggle_a_line_break(parts: list[str]) -> None:
    rules = parse_rules({"_headers": "/*\n {}: {}\n".format(*parts).encode()})
    for name, value in rules.fields("/").fields.items():
        assert re.fullmatch(r"[!-9;-~]+", name)
        assert re.fullmatch(r"[\t -~]+", value)
    for tag in rules.fields("/").tags:
        assert re.fullmatch(r"[!-+\--~]+", tag)
