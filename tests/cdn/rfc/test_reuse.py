"""When a stored response is reused (RFC 9111 sections 4, 4.1, 4.2.4, 5.2.1; RFC 5861)."""

import pytest

from blackstart.cdn.hop import ShutError
from blackstart.cdn.hop.failures import unanswered, unreachable
from blackstart.cdn.message import Response
from blackstart.errors import HopError

FRESH = {"cache-control": "max-age=3600"}


@pytest.mark.parametrize(
    ("wish", "reused"),
    [
        # 5.2.1; the response was made 2 s ago and is fresh for an hour.
        ("max-age=3600", True),
        ("max-age=2", True),
        ("max-age=1", False),
        ("max-age=0", False),
        ("no-cache", False),
        ("No-Cache", False),
        ("min-fresh=3598", True),
        ("min-fresh=3599", False),
        ("min-fresh=x", True),
        ("max-age=x", True),
        ("only-if-cached", True),
        ("no-transform", True),
        ("foo", True),
        ("max-stale=10", True),
    ],
)
async def test_what_a_visitor_wishes_of_a_fresh_response(is_reused, wish, reused) -> None:
    assert await is_reused(FRESH, then={"cache-control": wish}) is reused


@pytest.mark.parametrize(
    ("wish", "directive", "reused"),
    [
        # Made 10 s ago, fresh for 5.
        ("max-stale", "max-age=5", True),
        ("max-stale=5", "max-age=5", True),
        ("max-stale=4", "max-age=5", False),
        ("max-stale=x", "max-age=5", False),
        ("max-stale=100, max-age=3", "max-age=5", False),
        ("max-stale=100", "max-age=5, must-revalidate", False),
        ("max-stale=100", "max-age=5, proxy-revalidate", False),
        ("max-stale=100", "s-maxage=5", False),
        # A window that the origin gives beside s-maxage is no leave for visitors to widen it.
        ("max-stale=100", "s-maxage=5, stale-while-revalidate=1", False),
        ("max-stale=100", "s-maxage=5, stale-if-error=100", False),
        ("max-stale=100", "max-age=5, no-cache", False),
        ("max-stale=100, no-cache", "max-age=5", False),
    ],
)
async def test_how_stale_a_visitor_takes_it(is_reused, wish, directive, reused) -> None:
    asking = {"cache-control": wish}
    assert await is_reused({"cache-control": directive}, after_s=10, then=asking) is reused


async def test_only_if_cached(bench) -> None:
    """Section 5.2.1.7."""
    wish = {"cache-control": "only-if-cached"}
    assert (await bench.visit(wish)).status == 504
    assert bench.asked == 0
    bench.says(200, FRESH)
    await bench.visit()
    assert (await bench.visit(wish)).status == 200
    bench.clock.advance(3600)
    assert (await bench.visit(wish)).status == 504
    assert bench.asked == 1


async def test_head_is_answered_from_a_stored_get(bench) -> None:
    bench.says(200, FRESH)
    await bench.visit()
    response = await bench.visit(method="HEAD")
    assert (response.status, response.body) == (200, b"")
    assert response.headers.get("content-length") == "4"
    assert bench.asked == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "OPTIONS", "FOO"])
async def test_other_methods_go_to_the_origin(bench, method) -> None:
    bench.says(200, FRESH)
    await bench.visit()
    bench.says(403)
    await bench.visit(method=method, body=b"x")
    assert bench.origin.requests[-1].method == method
    assert bench.asked == 2


# Vary (section 4.1)


@pytest.mark.parametrize(
    ("vary", "first", "second", "reused"),
    [
        ("foo", {"foo": "1"}, {"foo": "1"}, True),
        ("foo", {"foo": "1"}, {"foo": "2"}, False),
        ("foo", {"foo": "1"}, {}, False),
        ("foo", {}, {"foo": "1"}, False),
        ("foo", {}, {"foo": ""}, False),
        ("foo", {}, {}, True),
        ("foo", {"foo": "1"}, {"foo": "1", "bar": "2"}, True),
        ("foo, bar", {"foo": "1", "bar": "2"}, {"bar": "2", "foo": "1"}, True),
        ("foo, bar", {"foo": "1", "bar": "2"}, {"foo": "1", "bar": "3"}, False),
        ("FOO", {"foo": "1"}, {"Foo": "1"}, True),
        ("foo", {"foo": "a"}, {"foo": "A"}, False),
        ("foo", {"foo": "1, 2"}, {"foo": "1,2"}, True),
        ("foo", {"foo": "1,2"}, {"foo": " 1 , 2 "}, True),
        ("foo", {"foo": "1, 2"}, {"foo": "2, 1"}, False),
        ("user-agent", {"user-agent": "a, b"}, {"user-agent": "a,b"}, False),
        ("accept-language", {"accept-language": "en, de"}, {"accept-language": "DE,en"}, True),
        ("accept-language", {"accept-language": "en"}, {"accept-language": "de"}, False),
        ("accept-encoding", {"accept-encoding": "br, gzip"}, {"accept-encoding": "gzip,br"}, True),
        (
            "accept-encoding",
            {"accept-encoding": "gzip;q=0.5, br"},
            {"accept-encoding": "br, gzip; q=0.5"},
            True,
        ),
        ("accept", {"accept": "a/b;q=1.0, c/d;q=0.50"}, {"accept": "c/d;q=0.5,a/b"}, True),
        ("accept", {"accept": "a/b;q=0.0"}, {"accept": "a/b;q=0"}, True),
        ("accept", {"accept": "a/b;q=0.05"}, {"accept": "a/b;q=0.5"}, False),
        ("accept", {"accept": "a/b;q=0"}, {"accept": "a/b"}, False),
        ("foo", {"foo": "a;q=1"}, {"foo": "a"}, False),
        ("*", {}, {}, False),
        ("foo, *", {"foo": "1"}, {"foo": "1"}, False),
        ("", {"foo": "1"}, {"foo": "2"}, True),
    ],
)
async def test_vary(is_reused, vary, first, second, reused) -> None:
    fields = {**FRESH, "vary": vary}
    assert await is_reused(fields, asking=first, then=second) is reused


async def test_fields_on_several_lines_count_as_one_list(bench) -> None:
    bench.says(200, {**FRESH, "vary": "foo"})
    await bench.visit([("foo", "1"), ("foo", "2")])
    await bench.visit({"foo": "1, 2"})
    assert bench.asked == 1


async def test_vary_on_several_lines(bench) -> None:
    bench.says(200, [*FRESH.items(), ("vary", "foo"), ("vary", "bar")])
    await bench.visit({"foo": "1", "bar": "1"})
    await bench.visit({"foo": "1", "bar": "2"})
    assert bench.asked == 2


async def test_variants_live_side_by_side(bench) -> None:
    for value in ("1", "2", "3"):
        bench.says(200, {**FRESH, "vary": "foo"}, value.encode())
        await bench.visit({"foo": value})
    for value in ("2", "1", "3"):
        assert (await bench.visit({"foo": value})).body == value.encode()
    assert bench.asked == 3


async def test_the_newest_of_several_that_fit(bench) -> None:
    bench.says(200, {**FRESH, "vary": "foo"}, b"older")
    await bench.visit({"foo": "1", "bar": "1"})
    bench.clock.advance(10)
    bench.says(200, {**FRESH, "vary": "bar"}, b"newer")
    await bench.visit({"foo": "2", "bar": "1"})
    assert (await bench.visit({"foo": "1", "bar": "1"})).body == b"newer"


async def test_an_answer_without_vary_does_not_hide_a_variant(bench) -> None:
    """Section 4.1: some origins leave the field out where nothing is preferred."""
    bench.says(200, {**FRESH, "vary": "foo"}, b"one")
    await bench.visit({"foo": "1"})
    bench.clock.advance(10)
    bench.says(200, FRESH, b"any")
    await bench.visit()
    assert (await bench.visit({"foo": "1"})).body == b"one"
    assert (await bench.visit({"foo": "2"})).body == b"any"
    assert (await bench.visit()).body == b"any"
    assert bench.asked == 2


async def test_a_variant_goes_when_the_page_varies_no_more(bench) -> None:
    bench.says(200, {"cache-control": "max-age=10", "vary": "foo"}, b"one")
    await bench.visit({"foo": "1"})
    bench.clock.advance(10)
    bench.says(200, FRESH, b"any")
    for foo in ("1", "1", "2"):
        assert (await bench.visit({"foo": foo})).body == b"any"
    assert bench.asked == 2


# Stale responses (section 4.2.4, RFC 5861)

ERRORS = [Response(500), Response(502), Response(503), Response(504), HopError("down")]


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize(
    ("directive", "used"),
    [
        ("max-age=1", True),
        ("max-age=1, stale-if-error=60", True),
        ("max-age=1, stale-if-error=5", False),
        ("max-age=1, stale-if-error=0", False),
        ("max-age=1, stale-if-error=x", True),
        ("max-age=1, must-revalidate", False),
        ("max-age=1, must-revalidate, stale-if-error=60", False),
        ("max-age=1, proxy-revalidate", False),
        ("s-maxage=1", False),
        ("s-maxage=1, stale-if-error=60", True),
        ("max-age=1, no-cache", False),
    ],
)
async def test_a_stale_response_in_the_place_of_an_error(bench, directive, used, error) -> None:
    bench.says(200, {"cache-control": directive, "etag": '"1"'})
    await bench.visit()
    bench.clock.advance(10)
    bench.origin.answer = error
    response = await bench.visit()
    assert (response.status == 200) is used
    if used:
        assert response.headers.get("age") == "10"


async def test_a_stored_error_stands_in_for_no_other(bench) -> None:
    bench.says(503, {"cache-control": "max-age=1"}, b"older")
    await bench.visit()
    bench.clock.advance(2)
    bench.says(500, {"cache-control": "max-age=1"}, b"newer")
    response = await bench.visit()
    assert (response.status, response.body) == (500, b"newer")
    bench.clock.advance(2)
    bench.origin.answer = HopError("down")
    assert (await bench.visit()).status == 502


async def test_a_visitor_may_ask_for_a_longer_window(bench) -> None:
    bench.says(200, {"cache-control": "max-age=1, stale-if-error=1"})
    await bench.visit()
    bench.clock.advance(10)
    bench.origin.answer = HopError("down")
    assert (await bench.visit({"cache-control": "stale-if-error=60"})).status == 200
    assert (await bench.visit()).status == 502


async def test_a_visitor_does_not_widen_what_the_origin_gave_beside_s_maxage(bench) -> None:
    """RFC 9111 section 5.2.2.10: s-maxage forbids stale use, but for what the origin allows."""
    bench.says(200, {"cache-control": "s-maxage=1, stale-if-error=5"})
    await bench.visit()
    bench.origin.answer = HopError("down")
    bench.clock.advance(4)
    assert (await bench.visit()).status == 200
    bench.clock.advance(10)
    assert (await bench.visit({"cache-control": "stale-if-error=60"})).status == 502


@pytest.mark.parametrize(
    ("directive", "error", "status"),
    [
        ("max-age=1, must-revalidate", unreachable("down"), 504),
        ("s-maxage=1", unanswered("closed"), 504),
        ("s-maxage=1", ShutError("left alone", 5.0), 504),
        ("max-age=1, must-revalidate", HopError("what it says makes no sense"), 502),
        ("max-age=1, stale-if-error=0", unreachable("down"), 502),
    ],
)
async def test_who_is_cut_off_and_may_not_send_a_stale_copy_says_504(
    bench, directive, error, status
) -> None:
    """Section 5.2.2.2."""
    bench.says(200, {"cache-control": directive})
    await bench.visit()
    bench.clock.advance(10)
    bench.origin.answer = error
    assert (await bench.visit()).status == status


@pytest.mark.parametrize(
    ("directive", "after_s", "at_once"),
    [
        ("max-age=1, stale-while-revalidate=60", 10, True),
        ("max-age=1, stale-while-revalidate=60", 61, False),
        ("max-age=1, stale-while-revalidate=x", 2, False),
        ("max-age=1, must-revalidate, stale-while-revalidate=60", 10, False),
        ("s-maxage=1, stale-while-revalidate=60", 10, True),
        ("no-cache, stale-while-revalidate=60", 10, False),
    ],
)
async def test_stale_while_revalidate(bench, directive, after_s, at_once) -> None:
    bench.says(200, {"cache-control": directive, "etag": '"1"'}, b"older")
    await bench.visit()
    bench.clock.advance(after_s)
    bench.says(200, {"cache-control": directive, "etag": '"2"'}, b"newer")
    assert (await bench.visit()).body == (b"older" if at_once else b"newer")
    for task in bench.clock.spawned:
        await task
    assert bench.asked == 2
    if "no-cache" not in directive:
        assert (await bench.visit()).body == b"newer"
        assert bench.asked == 2


async def test_only_one_asks_while_a_stale_page_is_checked(bench) -> None:
    bench.says(200, {"cache-control": "max-age=1, stale-while-revalidate=60"})
    await bench.visit()
    bench.clock.advance(2)
    for _ in range(5):
        await bench.visit()
    for task in bench.clock.spawned:
        await task
    assert bench.asked == 2
