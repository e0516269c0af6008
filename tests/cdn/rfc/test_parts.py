"""Parts that an origin sent, and what becomes of them (RFC 9111 sections 3.3, 3.4)."""

import pytest

from blackstart.cdn.message import Headers, Response
from blackstart.errors import HopError

BODY = b"0123456789"
FRESH = {"cache-control": "max-age=100", "etag": '"1"', "content-type": "text/plain"}


def part_of(first: int, end: int, **fields: str) -> Response:
    pairs = {**FRESH, "content-range": f"bytes {first}-{end - 1}/10", **fields}
    return Response(206, Headers(pairs.items()), BODY[first:end])


async def test_a_range_that_is_not_stored_is_asked_for(bench) -> None:
    bench.origin.answer = part_of(2, 5)
    response = await bench.visit({"range": "bytes=2-4"})
    assert (response.status, response.body) == (206, b"234")
    assert bench.origin.requests[-1].headers.get("range") == "bytes=2-4"


@pytest.mark.parametrize(
    ("asked", "part"), [("bytes=2-6", b"23456"), ("bytes=3-4", b"34"), ("bytes=6-6", b"6")]
)
async def test_a_stored_part_serves_what_lies_within(bench, asked, part) -> None:
    bench.origin.answer = part_of(2, 7)
    await bench.visit({"range": "bytes=2-6"})
    response = await bench.visit({"range": asked})
    assert (response.status, response.body, bench.asked) == (206, part, 1)
    first = int(asked[6])
    assert response.headers.get("content-range") == f"bytes {first}-{first + len(part) - 1}/10"


@pytest.mark.parametrize("asked", ["bytes=3-6", "bytes=0-9", "bytes=20-", "bytes=0-1,8-9"])
async def test_another_part_than_was_asked_for_is_passed_on_as_it_is(bench, asked) -> None:
    """RFC 9110 section 15.3.7: the origin may send less or more, and says what it is."""
    bench.origin.answer = part_of(4, 9)
    response = await bench.visit({"range": asked})
    assert (response.status, response.body) == (206, b"45678")
    assert response.headers.get("content-range") == "bytes 4-8/10"


async def test_several_parts_are_stored_side_by_side(bench) -> None:
    for first, end in ((0, 3), (5, 8)):
        bench.origin.answer = part_of(first, end)
        await bench.visit({"range": f"bytes={first}-{end - 1}"})
    assert (await bench.visit({"range": "bytes=1-2"})).body == b"12"
    assert (await bench.visit({"range": "bytes=6-7"})).body == b"67"
    assert bench.asked == 2


async def test_the_end_of_a_page_is_a_part_too(bench) -> None:
    bench.origin.answer = part_of(5, 10)
    await bench.visit({"range": "bytes=5-"})
    assert (await bench.visit({"range": "bytes=-2"})).body == b"89"
    assert bench.asked == 1


@pytest.mark.parametrize(
    ("fields", "status", "body"),
    [
        ({}, 200, BODY),
        ({"range": "bytes=0-2"}, 206, b"012"),
        ({"range": "bytes=6-8"}, 206, b"678"),
    ],
)
async def test_a_stored_part_serves_nothing_else(bench, fields, status, body) -> None:
    bench.origin.answer = part_of(2, 7)
    await bench.visit({"range": "bytes=2-6"})
    bench.says(200, FRESH, BODY)
    response = await bench.visit(fields)
    assert bench.asked == 2
    assert (response.status, response.body) == (status, body)


async def test_a_stored_part_is_completed(bench) -> None:
    """RFC 9111 section 3.4."""
    bench.origin.answer = part_of(0, 4)
    await bench.visit({"range": "bytes=0-3"})
    bench.origin.answer = part_of(4, 10, x_a="1")
    response = await bench.visit()
    asked = bench.origin.requests[-1].headers
    assert (asked.get("range"), asked.get("if-range")) == ("bytes=4-", '"1"')
    assert (response.status, response.body) == (200, BODY)
    assert response.headers.all("content-length") == ["10"]
    assert "content-range" not in response.headers
    again = await bench.visit()
    assert (again.status, again.body, bench.asked) == (200, BODY, 2)


async def test_a_stored_end_is_completed(bench) -> None:
    bench.origin.answer = part_of(6, 10)
    await bench.visit({"range": "bytes=-4"})
    bench.origin.answer = part_of(0, 6)
    response = await bench.visit()
    asked = bench.origin.requests[-1].headers
    assert (asked.get("range"), asked.get("if-range")) == ("bytes=0-5", '"1"')
    assert (response.status, response.body) == (200, BODY)
    again = await bench.visit()
    assert (again.status, again.body, bench.asked) == (200, BODY, 2)


@pytest.mark.parametrize(
    ("pieces", "error"), [([b"01"], None), ([b"01"], HopError("cut")), ([b"0123456"], None)]
)
async def test_a_beginning_that_breaks_off_completes_nothing(bench, stream, pieces, error) -> None:
    bench.origin.answer = part_of(6, 10)
    await bench.visit({"range": "bytes=-4"})
    bench.origin.answer = Response(206, part_of(0, 6).headers, stream(pieces, error))
    with pytest.raises(HopError):
        await bench.visit()
    bench.says(200, FRESH, BODY)
    assert (await bench.visit()).body == BODY


async def parts_stored(bench, *parts: tuple[int, int], **fields: str) -> None:
    for first, end in parts:
        bench.origin.answer = part_of(first, end, **fields)
        await bench.visit({"range": f"bytes={first}-{end - 1}"})
        bench.clock.advance(1)


@pytest.mark.parametrize(
    "parts",
    [
        [(0, 5), (5, 10)],
        [(5, 10), (0, 5)],
        [(0, 7), (3, 10)],
        [(3, 10), (0, 7)],
        [(0, 3), (7, 10), (3, 7)],
        [(2, 5), (1, 6), (6, 10), (0, 2)],
    ],
)
async def test_stored_parts_that_meet_are_joined(bench, parts) -> None:
    """RFC 9111 section 3.4."""
    await parts_stored(bench, *parts)
    asked = bench.asked
    response = await bench.visit()
    assert (response.status, response.body, bench.asked) == (200, BODY, asked)
    assert response.headers.all("content-length") == ["10"]
    assert "content-range" not in response.headers
    assert (await bench.visit({"range": "bytes=2-8"})).body == b"2345678"
    assert bench.asked == asked
    assert len(bench.node.cache) == 1


async def test_parts_that_make_a_longer_part_serve_what_lies_across_them(bench) -> None:
    await parts_stored(bench, (1, 4), (4, 8))
    response = await bench.visit({"range": "bytes=2-6"})
    assert (response.status, response.body, bench.asked) == (206, b"23456", 2)
    assert response.headers.get("content-range") == "bytes 2-6/10"
    bench.says(200, FRESH, BODY)
    assert (await bench.visit()).status == 200
    assert bench.asked == 3


async def test_of_joined_parts_the_newer_one_s_fields_count(bench) -> None:
    bench.origin.answer = part_of(0, 5, **{"x-a": "older", "x-b": "older"})
    await bench.visit({"range": "bytes=0-4"})
    bench.clock.advance(50)
    bench.origin.answer = part_of(5, 10, **{"x-a": "newer"})
    await bench.visit({"range": "bytes=5-9"})
    bench.clock.advance(60)
    response = await bench.visit()
    assert (response.headers.get("x-a"), response.headers.get("x-b")) == ("newer", "older")
    assert (response.headers.get("age"), bench.asked) == ("60", 2)


@pytest.mark.parametrize(
    "other",
    [
        {"etag": '"2"'},
        {"etag": 'W/"1"'},
        {"content-range": "bytes 5-9/11"},
        {"content-range": "bytes 6-10/11"},
        {"vary": "foo"},
        {"cache-control": "max-age=100, public"},
    ],
)
async def test_parts_of_different_pages_are_not_joined(bench, other) -> None:
    """Other versions, other lengths, other variants, other rules."""
    await parts_stored(bench, (0, 5))
    bench.origin.answer = part_of(5, 10, **other)
    await bench.visit({"range": "bytes=5-9"})
    assert len(bench.node.cache) == 2
    bench.says(200, FRESH, b"all of it")
    assert (await bench.visit()).body == b"all of it"


async def test_parts_with_a_weak_tag_or_none_are_not_joined(bench) -> None:
    for number, etag in enumerate(('W/"1"', "1", "")):
        for first, end in ((0, 5), (5, 10)):
            bench.origin.answer = part_of(first, end, etag=etag)
            await bench.visit({"range": f"bytes={first}-{end - 1}"}, target=f"/{number}")
        bench.says(200, FRESH, b"all of it")
        assert (await bench.visit(target=f"/{number}")).body == b"all of it"


async def test_a_page_that_changed_is_not_pieced_together(bench) -> None:
    bench.origin.answer = part_of(0, 4)
    await bench.visit({"range": "bytes=0-3"})
    bench.says(200, {**FRESH, "etag": '"2"'}, b"another one")
    assert (await bench.visit()).body == b"another one"


async def test_a_rest_of_another_version_is_not_joined(bench) -> None:
    bench.origin.answer = part_of(0, 4)
    await bench.visit({"range": "bytes=0-3"})
    answers = iter([part_of(4, 10, etag='"2"')])
    whole = Response(200, Headers(FRESH.items()), BODY)
    bench.origin.answer = lambda request: next(answers, whole)
    response = await bench.visit()
    assert (response.status, response.body) == (200, BODY)
    assert "range" not in bench.origin.requests[-1].headers


@pytest.mark.parametrize("value", ["bytes 2-6/*", "bytes 6-2/10", "what", "bytes 2-16/10"])
async def test_a_part_of_unknown_place_is_not_stored(bench, value) -> None:
    pairs = {**FRESH, "content-range": value}
    bench.origin.answer = Response(206, Headers(pairs.items()), b"23456")
    for count in (1, 2):
        await bench.visit({"range": "bytes=2-6"})
        assert bench.asked == count


async def test_an_origin_may_send_less_than_it_was_asked_for(bench) -> None:
    bench.origin.answer = part_of(2, 5)
    for count in (1, 2):
        response = await bench.visit({"range": "bytes=2-8"})
        assert (response.status, response.body, bench.asked) == (206, BODY[2:5], count)
        assert response.headers.all("content-range") == ["bytes 2-4/10"]


@pytest.mark.parametrize("body", [b"01", b"0123456"])
async def test_a_part_that_is_not_as_long_as_its_place_is_not_stored(bench, body) -> None:
    pairs = {**FRESH, "content-range": "bytes 0-4/10", "content-length": str(len(body))}
    bench.origin.answer = Response(206, Headers(pairs.items()), body)
    for count in (1, 2):
        response = await bench.visit({"range": "bytes=0-4"})
        assert (response.body, bench.asked) == (body, count)


async def test_a_streamed_part_that_is_not_as_long_as_its_place_is_not_stored(
    bench, stream
) -> None:
    pairs = {**FRESH, "content-range": "bytes 0-4/10"}
    for count in (1, 2):
        bench.origin.answer = Response(206, Headers(pairs.items()), stream([b"01"]))
        with pytest.raises(HopError):
            await bench.visit({"range": "bytes=0-4"})
        assert bench.asked == count


async def test_a_rest_that_is_not_as_long_as_its_place_is_not_joined(bench) -> None:
    bench.origin.answer = part_of(0, 4)
    await bench.visit({"range": "bytes=0-3"})
    rest = part_of(4, 10)
    short = Response(206, rest.headers.plus(("content-length", "2")), b"45")
    answers = iter([short])
    whole = Response(200, Headers(FRESH.items()), BODY)
    bench.origin.answer = lambda request: next(answers, whole)
    response = await bench.visit()
    assert (response.status, response.body) == (200, BODY)


@pytest.mark.parametrize("fields", [{"etag": '"1"'}, {"etag": 'W/"1"'}, {}])
@pytest.mark.parametrize("directive", ["max-age=1", "max-age=1, stale-while-revalidate=60"])
async def test_a_stale_part_is_asked_for_anew(bench, fields, directive) -> None:
    def older(request):
        pairs = {"cache-control": directive, "content-range": "bytes 2-6/10", **fields}
        return Response(206, Headers(pairs.items()), b"23456")

    def newer(request):
        assert request.headers.get("range") == "bytes=2-6"
        assert not request.headers.has_any({"if-range", "if-none-match"})
        pairs = {"cache-control": "max-age=9", "content-range": "bytes 2-6/10", "etag": '"2"'}
        return Response(206, Headers(pairs.items()), b"cdefg")

    bench.origin.answer = older
    await bench.visit({"range": "bytes=2-6"})
    bench.clock.advance(10)
    bench.origin.answer = newer
    for asked in ("bytes=2-6", "bytes=3-3"):
        response = await bench.visit({"range": asked})
        assert (response.status, bench.asked) == (206, 2)
        assert response.body == (b"cdefg" if asked == "bytes=2-6" else b"d")


async def test_a_middle_part_is_never_taken_for_a_beginning(bench) -> None:
    """RFC 9111 section 3.4: parts are joined only where they meet."""
    bench.origin.answer = part_of(2, 7)
    await bench.visit({"range": "bytes=2-6"})
    bench.says(200, FRESH, BODY)
    assert (await bench.visit()).body == BODY
    assert "range" not in bench.origin.requests[-1].headers


async def test_a_stored_part_stands_in_for_no_page(bench) -> None:
    """Section 3.3: a failing origin makes a part no answer to who asked for all of it."""
    bench.origin.answer = part_of(0, 4)
    await bench.visit({"range": "bytes=0-3"})
    bench.says(503, {}, b"sorry")
    assert (await bench.visit()).status == 503
    bench.origin.answer = HopError("down")
    assert (await bench.visit()).status == 502
    assert (await bench.visit({"range": "bytes=0-3"})).body == b"0123"


@pytest.mark.parametrize("asked", ["bytes=0-", "bytes=0-9", "bytes=-10", "bytes=0-99"])
@pytest.mark.parametrize("fields", [{}, {"etag": 'W/"1"'}, {"etag": ""}])
async def test_a_part_that_is_all_of_a_page_is_stored_as_the_page(bench, asked, fields) -> None:
    """RFC 9110 section 15.3.7: the same as a 200. Who asked for a part still gets it as one."""
    bench.origin.answer = part_of(0, 10, **fields)
    response = await bench.visit({"range": asked})
    assert (response.status, response.body) == (206, BODY)
    assert response.headers.all("content-range") == ["bytes 0-9/10"]
    response = await bench.visit()
    assert (response.status, response.body, bench.asked) == (200, BODY, 1)
    assert "content-range" not in response.headers
    assert response.headers.all("content-length") == ["10"]
    assert (await bench.visit({"range": "bytes=3-4"})).body == b"34"
    assert bench.asked == 1


async def test_all_of_a_page_may_come_in_pieces(bench, stream) -> None:
    chunks = stream([BODY[:4], BODY[4:]])
    bench.origin.answer = Response(206, part_of(0, 10).headers, chunks)
    response = await bench.visit({"range": "bytes=0-"})
    assert (response.status, response.body) == (206, BODY)
    response = await bench.visit()
    assert (response.status, response.body, bench.asked) == (200, BODY, 1)


async def test_a_part_that_nobody_asked_for_is_passed_on_as_one(bench) -> None:
    bench.origin.answer = part_of(0, 10)
    response = await bench.visit()
    assert (response.status, response.body) == (206, BODY)
    bench.says(200, FRESH, BODY)
    assert (await bench.visit()).status == 200
    assert "range" not in bench.origin.requests[-1].headers
