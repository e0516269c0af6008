"""Visitors who wait for what another asked the origin (RFC 9111 section 4)."""

import asyncio

import pytest

from blackstart.cdn.message import Headers, Request, Response, whole_body

VISITORS = ["alice", "bob", "carol"]


def greeting(fields: dict[str, str]):
    """An origin that answers each visitor with a page of their own, but does not say so."""

    def answer(request: Request) -> Response:
        name = request.headers.get("cookie") or "nobody"
        return Response(200, Headers([("etag", f'"{name}"'), *fields.items()]), name.encode())

    return answer


async def visit_together(bench) -> list[bytes]:
    asked = [bench.visit({"cookie": name}) for name in VISITORS]
    return [response.body for response in await asyncio.gather(*asked)]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"cache-control": "no-cache"},
        {"cache-control": "no-cache, max-age=60"},
        {"cache-control": "max-age=0"},
        {"cache-control": "max-age=0, stale-if-error=60"},
        {"expires": "0"},
        {"cdn-cache-control": "foo", "cache-control": "max-age=60"},
    ],
)
async def test_what_may_not_be_reused_is_not_given_to_those_who_wait(bench, fields) -> None:
    """Sections 4 and 5.2.2.4: they were not asked whether they are the same visitor."""
    bench.origin.answer = greeting(fields)
    for _ in range(2):
        before = bench.asked
        assert await visit_together(bench) == [name.encode() for name in VISITORS]
        assert bench.asked == before + len(VISITORS)


@pytest.mark.parametrize(
    "fields",
    [
        {"cache-control": "max-age=1"},
        {"cache-control": "max-age=0, stale-while-revalidate=1"},
        {"cache-control": "max-age=1, must-revalidate"},
        # It was over before it came: all would ask a slow origin at once.
        {"cache-control": "max-age=1", "age": "10"},
    ],
)
async def test_what_is_for_all_is_asked_for_once(bench, fields) -> None:
    bench.origin.answer = greeting(fields)
    assert await visit_together(bench) == [b"alice"] * len(VISITORS)
    assert bench.asked == 1


async def test_a_304_to_one_is_no_answer_to_those_who_wait(bench) -> None:
    """Its condition was about the page of whoever asked."""

    def unchanged(request: Request) -> Response:
        own = greeting({"cache-control": "no-cache"})(request)
        same = request.headers.get("if-none-match") == own.headers.get("etag")
        return Response(304, own.headers) if same else own

    bench.origin.answer = unchanged
    await bench.visit({"cookie": "alice"})
    assert await visit_together(bench) == [name.encode() for name in VISITORS]


async def test_nobody_waits_twice_for_what_is_confirmed_each_time(bench) -> None:
    bench.says(200, {"cache-control": "no-cache", "etag": '"1"'})
    await bench.visit()
    bench.origin.meanwhile = asyncio.Barrier(3).wait
    async with asyncio.timeout(5):
        await visit_together(bench)


async def test_what_says_nothing_of_its_lifetime_is_nobody_else_s(bench) -> None:
    """Section 4.2.4: neither a failing origin nor a visitor's wish brings it out."""
    bench.origin.answer = greeting({})
    await bench.visit({"cookie": "alice"})
    for wish in ("max-stale", "max-stale=3600", "stale-if-error=3600"):
        assert (await bench.visit({"cookie": "bob", "cache-control": wish})).body == b"bob"
    bench.origin.answer = Response(503, body=b"sorry")
    response = await bench.visit({"cookie": "carol", "cache-control": "stale-if-error=3600"})
    assert (response.status, await whole_body(response.body)) == (503, b"sorry")


async def test_a_lifetime_of_nothing_or_a_window_lets_it_stand_in(bench) -> None:
    for number, value in enumerate(("max-age=0", "stale-if-error=60")):
        bench.says(200, {"cache-control": value})
        await bench.visit(target=f"/{number}")
        bench.origin.answer = Response(503, body=b"sorry")
        assert (await bench.visit(target=f"/{number}")).body == b"page"
