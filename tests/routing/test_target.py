"""Tests of where a redirect leads: what a visitor sends never leads off the site."""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from blackstart.errors import UsageError
from blackstart.routing.target import parse_target

NAMES = frozenset({"id", "splat"})
SITE = "https://docs.example.org/here"


@pytest.mark.parametrize(
    ("target", "query", "location"),
    [
        ("/a", "", "/a"),
        ("/a", "x=1&y", "/a?x=1&y"),
        ("/a?own=1", "x=1", "/a?own=1"),
        ("/a?", "x=1", "/a"),
        ("/a#part", "x=1", "/a?x=1#part"),
        ("/p-:id.html", "", "/p-5%2F%3F.html".replace("%2F", "/")),
        ("/:splat", "", "/s%20p/%C3%A9"),
        ("/a?id=:id", "x=1", "/a?id=5%2F%3F"),
        ("/a:other", "", "/a:other"),
        ("/a%20b%", "", "/a%20b%25"),
        ("https://example.org", "", "https://example.org"),
        ("https://example.org:8443/x/:splat", "q", "https://example.org:8443/x/s%20p/%C3%A9?q"),
        ("http://[::1]/", "", "http://[::1]/"),
    ],
)
def test_placeholders_are_filled_in_and_the_query_is_passed_on(
    target: str, query: str, location: str
) -> None:
    bound = {"id": "5/?", "splat": "s p/\N{LATIN SMALL LETTER E WITH ACUTE}"}
    assert parse_target(target, NAMES).location(bound, query) == location


@pytest.mark.parametrize(
    "target",
    [
        "",
        "a",
        "//example.org",
        "ftp://example.org/",
        "https:/a",
        "https://",
        "https://user@example.org/",
        "https://:splat/",
        "https://example.org:id",
        "https://example.org:splat",
        "https://example.org.:splat/",
        "https://example.org\\@evil.example/",
    ],
)
def test_what_is_neither_path_nor_url_is_refused(target: str) -> None:
    with pytest.raises(UsageError):
        parse_target(target, NAMES)


def test_a_splat_that_nothing_is_bound_to_is_refused() -> None:
    with pytest.raises(UsageError):
        parse_target("/:splat", frozenset())


sent = st.text() | st.from_regex(r"[/\\]{0,3}evil\.example[\r\n\t /\\]{0,3}", fullmatch=True)


@given(
    st.sampled_from(["/:splat", "/:id/:splat", "/:splat/:id", "/a/:splat?q=:id", "/:id:splat"]),
    sent,
    sent,
    st.text(),
)
@example("/:splat/:id", "", "evil.example", "")
@example("/:splat", "/evil.example", "", "")
@example("/:splat", "\\evil.example", "", "")
@example("/:splat", "a\r\nSet-Cookie: b=c", "", "a\r\nb")
def test_a_path_of_the_site_never_leads_off_it(
    target: str, splat: str, name: str, query: str
) -> None:
    location = parse_target(target, NAMES).location({"splat": splat, "id": name}, query)
    assert re.fullmatch(r"/(?![/\\])[!-~]*|/", location), location
    assert "\\" not in location
    assert urlsplit(urljoin(SITE, location)).netloc == "docs.example.org"


@given(st.sampled_from(["https://example.org/:splat", "https://example.org/a?b=:id"]), sent, sent)
def test_a_url_leads_to_the_host_that_its_author_wrote(target: str, splat: str, name: str) -> None:
    location = parse_target(target, NAMES).location({"splat": splat, "id": name}, "")
    assert re.fullmatch(r"[!-~]+", location)
    assert urlsplit(location).netloc == "example.org"


@given(st.text(), st.text())
def test_no_target_makes_a_location_that_is_not_printable_ascii(target: str, query: str) -> None:
    try:
        parsed = parse_target(f"/{target}", NAMES)
    except UsageError:
        return
    assert re.fullmatch(r"[!-~]+", parsed.location({"id": "1", "splat": "2"}, query))


def test_a_rewrite_gets_the_path_decoded_and_what_was_bound_as_it_is() -> None:
    target = parse_target("/a%20b/:splat?x=:id", NAMES)
    assert target.inside({"splat": "%41", "id": "/"}, "q") == ("/a b/%41", "x=%2F")
