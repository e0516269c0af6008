"""Tests of the Cache-Status header."""

import http_sf
import pytest

from blackstart.cdn.cache_status import (
    STALE_IF_ERROR,
    STALE_WHILE_REVALIDATE,
    CacheStatus,
    is_from_cache,
)
from blackstart.cdn.message import Headers
from blackstart.errors import UsageError

KEY = "a.example /"


def test_each_value_is_a_structured_field_list_with_the_node_as_its_member() -> None:
    status = CacheStatus("n-1.lab")
    forwarded = status.forwarded(KEY, "uri-miss", 404, stored=True)
    assert forwarded == "n-1.lab; fwd=uri-miss; fwd-status=404; stored"
    stale = status.forwarded(KEY, "stale", collapsed=True, detail=STALE_IF_ERROR)
    for value in (
        status.hit(KEY, 9.9),
        status.hit(KEY, -3, STALE_WHILE_REVALIDATE),
        stale,
        forwarded,
    ):
        [(name, parameters)] = http_sf.parse(value.encode(), tltype="list")
        assert str(name) == "n-1.lab"
        assert parameters.keys() <= {
            "hit", "ttl", "detail", "fwd", "fwd-status", "stored", "collapsed"
        }  # fmt: skip


@pytest.mark.parametrize("key", [KEY, 'a.example /?a="b"\\"', "a.example /\\"])
def test_the_cache_key_is_told_where_that_is_wanted(key) -> None:
    status = CacheStatus("n1", tells_key=True)
    for value in (status.hit(key, 3), status.forwarded(key, "stale", 200)):
        [(_, parameters)] = http_sf.parse(value.encode(), tltype="list")
        assert parameters["key"] == key


def test_a_key_that_is_no_string_of_the_field_is_left_out() -> None:
    status = CacheStatus("n1", tells_key=True)
    assert status.hit("a.example /\u00e9", 3) == "n1; hit; ttl=3"


@pytest.mark.parametrize(
    ("values", "held"),
    [
        (["n1; hit; ttl=3"], True),
        (["n1; fwd=stale; detail=stale-if-error"], True),
        (["n1; fwd=uri-miss; fwd-status=200; stored"], False),
        (["shield; hit; ttl=3", "n1; fwd=uri-miss"], False),
        ([], False),
    ],
)
def test_whether_the_last_node_sent_what_it_held(values, held) -> None:
    assert is_from_cache(Headers([("cache-status", value) for value in values])) is held


def test_a_name_that_would_break_the_header_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot name a node"):
        CacheStatus("n 1; hit")
