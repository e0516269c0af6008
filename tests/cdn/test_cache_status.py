"""Tests of the Cache-Status header."""

import http_sf
import pytest

from blackstart.cdn.cache_status import CacheStatus
from blackstart.errors import UsageError


def test_each_value_is_a_structured_field_list_with_the_node_as_its_member() -> None:
    status = CacheStatus("n-1.lab")
    forwarded = status.forwarded("miss", 404, stored=True)
    assert forwarded == "n-1.lab; fwd=miss; fwd-status=404; stored"
    for value in (status.hit, status.stale, forwarded):
        [(name, parameters)] = http_sf.parse(value.encode(), tltype="list")
        assert str(name) == "n-1.lab"
        assert parameters.keys() <= {"hit", "fwd", "fwd-status", "stored"}


def test_a_name_that_would_break_the_header_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot name a node"):
        CacheStatus("n 1; hit")
