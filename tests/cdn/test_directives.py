"""Tests of reading cache directives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackstart.cdn.directives import MAX_SECONDS, directives_of, parse_general
from blackstart.cdn.message import Headers


def test_directives_are_read_whatever_their_case_and_spacing() -> None:
    found = parse_general('Public,MAX-AGE=60 , s-maxage="7", stale-if-error = 5')
    assert (found.max_age_s, found.s_maxage_s, found.stale_if_error_s) == (60, 7, 5)


def test_shared_lifetime_wins_over_the_private_one() -> None:
    assert parse_general("max-age=60, s-maxage=7").lifetime_s == 7


@pytest.mark.parametrize("value", ["max-age=x", "max-age=-1", "max-age=1.5", "max-age", "max-age="])
def test_a_garbled_lifetime_counts_as_none_left(value: str) -> None:
    assert parse_general(value).lifetime_s == 0


def test_a_huge_lifetime_is_capped() -> None:
    assert parse_general("max-age=" + "9" * 5000).lifetime_s == MAX_SECONDS


def test_a_directive_inside_a_quoted_value_is_not_one() -> None:
    assert not parse_general('note="a, no-store", max-age=1').no_store


def test_the_targeted_field_replaces_cache_control_altogether() -> None:
    found = directives_of(
        Headers([("cache-control", "no-store, max-age=0"), ("cdn-cache-control", "max-age=60")])
    )
    assert found.lifetime_s == 60
    assert not found.no_store


@pytest.mark.parametrize("value", ["", "max-age=60, , no-store", "Max-Age=60", "\xff"])
def test_a_malformed_targeted_field_counts_as_absent(value: str) -> None:
    headers = Headers([("cdn-cache-control", value), ("cache-control", "max-age=5")])
    assert directives_of(headers).lifetime_s == 5


def test_a_targeted_directive_set_to_false_is_off() -> None:
    assert not directives_of(Headers([("cdn-cache-control", "no-store=?0, max-age=1")])).no_store


def test_no_window_for_stale_use_where_the_response_forbids_it() -> None:
    assert parse_general("max-age=1").stale_window_s(100) == 100
    assert parse_general("max-age=1, stale-if-error=7").stale_window_s(100) == 7
    assert parse_general("max-age=1, must-revalidate, stale-if-error=7").stale_window_s(100) == 0
    assert parse_general("s-maxage=1").stale_window_s(100) == 0


@given(st.text(max_size=200), st.text(max_size=200))
def test_no_header_value_whatever_crashes_the_parser(general: str, targeted: str) -> None:
    lifetime_s = directives_of(
        Headers([("cache-control", general), ("cdn-cache-control", targeted)])
    ).lifetime_s
    assert lifetime_s is None or 0 <= lifetime_s <= MAX_SECONDS


@given(
    st.lists(st.sampled_from(["no-store", "private", "max-age=9", "x=y", 'z="q"', "s-maxage=1"]))
)
def test_no_store_is_never_overlooked(parts: list[str]) -> None:
    assert parse_general(", ".join([*parts, "no-store"])).no_store
