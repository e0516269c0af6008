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


async def visit_at_once(bench, *fields: dict[str, str]) -> list[Response]:
    return await asyncio.gather(*[bench.visit(each) for each in fields])


async def visit_together(bench) -> list[bytes]:
    got = await visit_at_once(bench, *({"cookie": name} for name in VISITORS))
    return [response.body for response in got]


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


PAGE = b"0123456789"
PARTS = {"cache-control": "max-age=60", "etag": '"1"'}


def parted(request: Request) -> Response:
    """An origin that gives the range that is asked for, and the whole page else."""
    asked = request.headers.get("range")
    if request.headers.get("if-none-match") == '"1"':
        return Response(304, Headers([*PARTS.items()]))
    if asked is None:
        return Response(200, Headers([*PARTS.items()]), PAGE)
    first, last = map(int, asked.removeprefix("bytes=").split("-"))
    place = ("content-range", f"bytes {first}-{last}/{len(PAGE)}")
    return Response(206, Headers([*PARTS.items(), place]), PAGE[first : last + 1])


def told(responses: list[Response]) -> list[tuple[int, bytes | object]]:
    return [(response.status, response.body) for response in responses]


async def test_a_range_of_a_page_that_is_not_stored_is_asked_for_once(bench) -> None:
    bench.origin.answer = parted
    wanted = ["bytes=0-3", "bytes=0-3", "bytes=4-5", "bytes=0-3"]
    got = await visit_at_once(bench, *({"range": each} for each in wanted), {})
    assert told(got) == [(206, b"0123"), (206, b"0123"), (206, b"45"), (206, b"0123"), (200, PAGE)]
    assert bench.asked == 3
    assert "collapsed" in (got[1].headers.get("cache-status") or "")
    assert "collapsed" not in (got[2].headers.get("cache-status") or "")


async def test_who_wants_ranges_of_a_stale_page_waits_for_one_question_about_it(bench) -> None:
    bench.origin.answer = parted
    await bench.visit()
    bench.clock.advance(61)
    wanted = [
        {"range": "bytes=0-3"},
        {"range": "bytes=4-5"},
        {"range": "bytes=4-5,8-8"},
        {"range": "bytes=6-7", "if-range": '"1"'},
        {"range": "bytes=6-7", "if-range": '"0"'},
        {},
    ]
    got = await visit_at_once(bench, *wanted)
    assert bench.asked == 2
    assert [each.status for each in got] == [206, 206, 206, 206, 200, 200]
    assert [got[number].body for number in (0, 1, 3, 4)] == [b"0123", b"45", b"67", PAGE]


@pytest.mark.parametrize(
    "fields",
    [
        {"range": "bytes=0-3", "if-range": '"1"'},
        {"range": "bytes=0-3", "authorization": "Basic x"},
        {"range": "bytes=0-3", "cache-control": "no-cache"},
        {"range": "bytes=" + " " * 60 + "0-3"},
    ],
)
async def test_whose_range_depends_on_more_asks_alone(bench, fields) -> None:
    bench.origin.answer = parted
    assert told(await visit_at_once(bench, fields, fields)) == [(206, b"0123")] * 2
    assert bench.asked == 2


async def test_several_ranges_are_asked_for_by_each(bench) -> None:
    bench.says(206, PARTS | {"content-type": "multipart/byteranges; boundary=x"})
    await visit_at_once(bench, *[{"range": "bytes=0-1,3-4"}] * 3)
    assert bench.asked == 3


async def test_who_gets_less_than_the_range_that_was_asked_for_waits_for_nobody_again(
    bench,
) -> None:
    """Or all would be one behind the other. The page as a whole is still asked for once."""

    def less(request: Request) -> Response:
        return parted(Request("GET", "/", request.host, Headers([("range", "bytes=0-1")])))

    bench.origin.answer = less
    wish = {"range": "bytes=0-5"}
    assert told(await visit_at_once(bench, wish)) == [(206, b"01")]
    bench.origin.meanwhile = asyncio.Barrier(3).wait
    async with asyncio.timeout(5):
        assert told(await visit_at_once(bench, wish, wish, wish)) == [(206, b"01")] * 3
    bench.origin.meanwhile, bench.origin.answer = None, parted
    before = bench.asked
    await bench.node.purge_all()
    assert told(await visit_at_once(bench, {}, {}, {})) == [(200, PAGE)] * 3
    assert bench.asked == before + 1
