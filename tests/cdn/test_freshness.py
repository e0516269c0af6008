"""Tests of what a shared cache may store."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackstart.cdn.freshness import initial_age_s, primary_key, storage_of, variant_key, vary_names
from blackstart.cdn.message import Headers, Request, Response

GET = Request("GET", "/", "a.example")


def answer(status: int = 200, cache_control: str = "max-age=60", **fields: str) -> Response:
    pairs = [(name.replace("_", "-"), value) for name, value in fields.items()]
    return Response(status, Headers([("cache-control", cache_control), *pairs]))


@pytest.mark.parametrize("status", [200, 301, 404])
def test_an_answer_with_an_explicit_lifetime_is_stored(status: int) -> None:
    storage = storage_of(GET, answer(status), 100.0)
    assert storage is not None
    assert (storage.lifetime_s, storage.stale_window_s) == (60.0, 100.0)


@pytest.mark.parametrize("status", [206, 304, 401, 500, 503])
def test_partial_answers_and_errors_are_never_stored(status: int) -> None:
    assert storage_of(GET, answer(status), 100.0) is None


@pytest.mark.parametrize(
    "response",
    [
        answer(cache_control="public"),
        answer(cache_control="no-store, max-age=60"),
        answer(cache_control="private, max-age=60"),
        answer(cache_control="no-cache, max-age=60"),
        answer(set_cookie="a=1"),
        answer(vary="*"),
        answer(vary="accept, *"),
        answer(content_range="bytes 0-1/2"),
    ],
)
def test_an_answer_that_is_not_for_everybody_is_never_stored(response: Response) -> None:
    assert storage_of(GET, response, 100.0) is None


@pytest.mark.parametrize(
    "request_",
    [
        Request("POST", "/", "a.example"),
        Request("HEAD", "/", "a.example"),
        Request("GET", "/", "a.example", Headers([("Authorization", "x")])),
        Request("GET", "/", "a.example", Headers([("cache-control", "no-store")])),
    ],
)
def test_an_answer_to_a_request_that_is_not_for_everybody_is_never_stored(
    request_: Request,
) -> None:
    assert storage_of(request_, answer(), 100.0) is None


def test_the_host_is_part_of_the_key_and_its_case_is_not() -> None:
    assert primary_key(GET) == primary_key(Request("GET", "/", "A.Example"))
    assert primary_key(GET) != primary_key(Request("GET", "/", "b.example"))


def test_vary_names_are_sorted_and_in_lower_case() -> None:
    headers = Headers([("vary", "Origin, Accept"), ("vary", "origin")])
    assert vary_names(headers) == ("accept", "origin")


def test_an_absent_header_is_another_variant_than_an_empty_one() -> None:
    absent = variant_key("p", ("accept",), Headers())
    empty = variant_key("p", ("accept",), Headers([("accept", "")]))
    assert absent != empty


@given(st.lists(st.text(max_size=8), min_size=2, max_size=2), st.lists(st.text(max_size=8)))
def test_different_header_values_never_share_a_key(left: list[str], right: list[str]) -> None:
    def key(values: list[str]) -> str:
        named = ("a", "b")
        return variant_key("p", named, Headers(zip(named, values, strict=False)))

    assert (key(left) == key(right)) == (left == right[:2])


def test_age_on_arrival_counts_the_date_the_age_header_and_the_way() -> None:
    dated = Headers([("date", "Thu, 02 Feb 2017 01:46:40 GMT")])
    assert initial_age_s(dated, 1_486_000_010.0, 1_486_000_010.0) == 10.0
    assert initial_age_s(Headers([("age", "30")]), 100.0, 102.0) == 32.0
    assert initial_age_s(Headers([("date", "?"), ("age", "x")]), 100.0, 100.0) == 0.0


@given(st.text(), st.text())
def test_no_date_or_age_whatever_crashes_or_makes_a_negative_age(date: str, age: str) -> None:
    assert initial_age_s(Headers([("date", date), ("age", age)]), 5.0, 6.0) >= 0.0
