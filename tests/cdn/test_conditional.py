"""Tests of conditional requests."""

import pytest

from blackstart.cdn.conditional import is_not_modified, not_modified_headers
from blackstart.cdn.message import Headers


@pytest.mark.parametrize(
    ("asked", "etag", "expected"),
    [
        ('"1"', '"1"', True),
        ('"0", W/"1"', '"1"', True),
        ('"1"', 'W/"1"', True),
        ("*", '"1"', True),
        ('"2"', '"1"', False),
        ('"1"', None, False),
        ("1", '"1"', False),
        ('"a, "1', '"1"', False),
    ],
)
def test_entity_tags_compare_weakly(asked: str, etag: str | None, expected: bool) -> None:
    held = Headers([("etag", etag)] if etag else [])
    assert is_not_modified(Headers([("If-None-Match", asked)]), held) is expected


def test_a_date_counts_only_without_an_entity_tag() -> None:
    date = "Thu, 02 Feb 2017 00:00:00 GMT"
    held = Headers([("last-modified", date), ("etag", '"1"')])
    since = ("if-modified-since", date)
    assert is_not_modified(Headers([since]), held)
    assert not is_not_modified(Headers([since, ("if-none-match", '"2"')]), held)
    assert not is_not_modified(Headers(), Headers())


def test_a_304_keeps_the_validators_and_drops_what_describes_the_body() -> None:
    headers = Headers([("etag", '"1"'), ("content-length", "4"), ("content-type", "text/html")])
    assert not_modified_headers(headers) == Headers([("etag", '"1"')])
