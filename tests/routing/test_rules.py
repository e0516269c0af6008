"""Tests of a site's rules together: order, limits, and bytes of any kind."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackstart.routing import CONFIG_FILES, MAX_FILE_BYTES, Rules, parse_rules
from blackstart.routing.rules import MAX_HEADER_NAMES, MAX_HEADER_RULES, MAX_REDIRECTS


def redirects(*lines: str) -> Rules:
    rules = parse_rules({"_redirects": "\n".join(lines).encode()})
    assert rules.problems == []
    return rules


def location(rules: Rules, path: str, query: str = "") -> str | None:
    match = rules.first_match(path, query)
    return None if match is None else match.location


@pytest.mark.parametrize(
    ("path", "to"),
    [("/a/x", "/1"), ("/a/y", "/2/y"), ("/b/x", "/3/b"), ("/b/z", "/4"), ("/", "/4")],
)
def test_the_first_rule_that_matches_wins_however_it_is_found(path: str, to: str) -> None:
    rules = redirects("/a/x /1", "/a/* /2/:splat", "/:any/x /3/:any", "/* /4", "/b/z /never")
    assert location(rules, path) == to


@pytest.mark.parametrize(
    ("query", "to"),
    [
        ("id=5", "/one/5?id=5"),
        ("id=", "/one/?id="),
        ("id=5&tag=x%20y&z=1", "/two/x%20y/5?id=5&tag=x%20y&z=1"),
        ("kind=book", "/books?kind=book"),
        ("kind=other", None),
        ("", None),
        ("ID=5", None),
    ],
)
def test_a_rule_may_ask_for_query_parameters(query: str, to: str | None) -> None:
    rules = redirects(
        "/s id=:id tag=:tag /two/:tag/:id", "/s id=:id /one/:id", "/s kind=book /books"
    )
    assert location(rules, "/s", query) == to


@pytest.mark.parametrize(
    ("line", "path", "query"),
    [
        ("/a/ /a", "/a", ""),
        ("/a /a/", "/a", ""),
        ("/* /:splat", "/x/y", ""),
        ("/a /a?x=1", "/a", "x=1"),
        ("/a id=:id /a", "/a", "id=1"),
    ],
)
def test_nobody_is_sent_back_to_where_they_are(line: str, path: str, query: str) -> None:
    assert location(redirects(line, "/* /next"), path, query) == (f"/next?{query}".rstrip("?"))


def test_rules_of_netlify_toml_come_after_the_files() -> None:
    toml = b"""
        redirects = [{from = "/a", to = "/toml"}, {from = "/b", to = "/toml"}]
        headers = [{for = "/*", values = {X-A = "toml"}}]
    """
    files = {
        "netlify.toml": toml,
        "_redirects": b"/a /file",
        "_headers": b"/*\n X-A: file\n X-B: b",
    }
    rules = parse_rules(files)
    assert (location(rules, "/a"), location(rules, "/b")) == ("/file", "/toml")
    assert rules.fields("/").fields == {"x-a": "toml", "x-b": "b"}


@pytest.mark.parametrize("name", CONFIG_FILES)
def test_a_file_that_is_too_large_is_one_problem_and_skipped(name: str) -> None:
    rules = parse_rules({name: b"#" * (MAX_FILE_BYTES + 1)})
    assert rules.problems == [f"{name}: larger than 256 KiB, skipped"]


def test_too_many_rules_are_one_problem_and_their_file_is_skipped() -> None:
    rules = parse_rules(
        {
            "_redirects": b"/a /b\n" * (MAX_REDIRECTS + 1),
            "_headers": b"/*\n X-A: b\n" * (MAX_HEADER_RULES + 1),
            "netlify.toml": b'[[redirects]]\nfrom = "/a"\nto = "/b"',
        }
    )
    assert rules.problems == [
        "_redirects: more than 10000 redirects, skipped",
        "_headers: more than 1000 header rules, skipped",
    ]
    assert (len(rules.redirects), len(rules.headers)) == (1, 0)


def test_too_many_header_names_are_one_problem_and_the_first_hold() -> None:
    lines = "".join(f" X-{number}: 1\n" for number in range(MAX_HEADER_NAMES + 5))
    rules = parse_rules({"_headers": f"/*\n{lines}".encode()})
    assert list(rules.fields("/").fields) == [f"x-{number}" for number in range(MAX_HEADER_NAMES)]
    assert rules.problems == ["more than 32 different header names: the first hold"]


def test_a_file_full_of_mistakes_is_reported_in_a_bearable_length() -> None:
    rules = parse_rules({"_redirects": b"nonsense\n" * 1_000})
    assert len(rules.problems) == 201
    assert rules.problems[-1] == "... and 800 more problems"


def test_a_byte_order_mark_and_bytes_that_are_no_text_do_no_harm() -> None:
    rules = parse_rules({"_redirects": b"\xef\xbb\xbf/a /b\n/c /d\xff\n"})
    assert rules.problems == []
    assert location(rules, "/a") == "/b"
    assert location(rules, "/c") == "/d%EF%BF%BD"


lines = st.lists(
    st.lists(
        st.sampled_from(
            ["/", "/*", "/a", "/:b", ":splat", "301", "200!", "x=:x", "https://a.example/", "#"]
        )
        | st.text(max_size=4),
        max_size=5,
    ).map(" ".join),
    max_size=5,
).map(lambda rows: "\n".join(rows).encode(errors="replace"))
toml = st.sampled_from(
    [
        "[[redirects]]",
        "[[headers]]",
        'from="/*"',
        'to="/:splat"',
        "status=200.0",
        "force=true",
        'for="/*"',
        "values={a='b'}",
        "query={}",
        "a.b.c=1",
        "x=[[{",
    ]
)
anything = st.binary() | lines
files = st.fixed_dictionaries(
    {},
    optional={
        "_redirects": anything,
        "_headers": anything,
        "netlify.toml": st.binary() | st.lists(toml).map(lambda rows: "\n".join(rows).encode()),
    },
)


@given(files, st.text(), st.text())
def test_no_bytes_whatsoever_crash_the_parser_or_its_rules(
    files: dict[str, bytes], path: str, query: str
) -> None:
    rules = parse_rules(files)
    assert all(problem.isprintable() for problem in rules.problems)
    match = rules.first_match(f"/{path}", query)
    if match is not None:
        assert match.location.isascii()
        assert match.inside[0].startswith("/")
    rules.fields(f"/{path}")
