"""Ranges, and what of a stored page answers them (RFC 9110 section 14)."""

import pytest

from blackstart.cdn.message import Headers, Response

BODY = b"0123456789"
FRESH = {"cache-control": "max-age=100", "etag": '"1"', "content-type": "text/plain"}


async def stored(bench, **fields: str) -> None:
    bench.says(200, {**FRESH, **{n.replace("_", "-"): v for n, v in fields.items()}}, BODY)
    await bench.visit()


@pytest.mark.parametrize(
    ("asked", "part", "content_range"),
    [
        ("bytes=0-3", b"0123", "bytes 0-3/10"),
        ("bytes=4-", b"456789", "bytes 4-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=-30", BODY, "bytes 0-9/10"),
        ("bytes=0-99", BODY, "bytes 0-9/10"),
        ("bytes=9-9", b"9", "bytes 9-9/10"),
        ("Bytes=0-0", b"0", "bytes 0-0/10"),
        ("bytes= 0-1 ", b"01", "bytes 0-1/10"),
        ("bytes=0-1,", b"01", "bytes 0-1/10"),
        ("bytes=0-1,20-30", b"01", "bytes 0-1/10"),
    ],
)
async def test_a_part_of_a_stored_page(bench, asked, part, content_range) -> None:
    await stored(bench)
    response = await bench.visit({"range": asked})
    assert (response.status, response.body) == (206, part)
    assert response.headers.get("content-range") == content_range
    assert response.headers.all("content-length") == [str(len(part))]
    assert response.headers.get("etag") == '"1"'
    assert bench.asked == 1


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=", "bytes", "bytes=a-b", "bytes=3-1", "bytes=-", "lines=0-1", "0-3", "bytes=--1",
        "bytes=0-1-2", "bytes=1", "bytes=0x1-2", "bytes=,",
        # More than anyone needs, or twice the same (section 14.2).
        "bytes=" + ",".join(f"{n}-{n}" for n in range(17)),
        "bytes=0-,0-,0-",
        "bytes=0-5,3-8",
    ],
)  # fmt: skip
async def test_a_range_that_makes_no_sense_is_ignored(bench, asked) -> None:
    await stored(bench)
    response = await bench.visit({"range": asked})
    assert (response.status, response.body, bench.asked) == (200, BODY, 1)


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=20-30", "bytes=-0", "bytes=10-11,12-13"])
async def test_a_range_beyond_the_end(bench, asked) -> None:
    await stored(bench)
    response = await bench.visit({"range": asked})
    assert (response.status, response.body) == (416, b"")
    assert response.headers.get("content-range") == "bytes */10"
    assert response.headers.all("content-length") == ["0"]


async def test_several_parts(bench) -> None:
    """Section 14.6."""
    await stored(bench)
    response = await bench.visit({"range": "bytes=0-1, -2"})
    kind = response.headers.get("content-type")
    boundary = kind.removeprefix("multipart/byteranges; boundary=")
    expected = (
        f"--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01\r\n"
        f"--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 8-9/10\r\n\r\n89\r\n"
        f"--{boundary}--\r\n"
    )
    assert (response.status, response.body.decode()) == (206, expected)
    assert response.headers.all("content-length") == [str(len(response.body))]
    assert "content-range" not in response.headers


async def test_a_range_is_for_get_and_for_pages(bench) -> None:
    await stored(bench)
    assert (await bench.visit({"range": "bytes=0-1"}, method="HEAD")).status == 200
    bench.says(404, FRESH, BODY)
    await bench.visit(target="/missing")
    assert (await bench.visit({"range": "bytes=0-1"}, target="/missing")).status == 404


MODIFIED = "Wed, 01 Feb 2017 00:00:00 GMT"


@pytest.mark.parametrize(
    ("if_range", "status"),
    [
        ('"1"', 206),
        ('"2"', 200),
        ('W/"1"', 200),
        (MODIFIED, 206),
        ("Wed, 01 Feb 2017 00:00:01 GMT", 200),
        ("Tue, 31 Jan 2017 00:00:01 GMT", 200),
        ("what", 200),
    ],
)
async def test_if_range(bench, if_range, status) -> None:
    """Section 13.1.5: strong comparison only."""
    await stored(bench, last_modified=MODIFIED)
    response = await bench.visit({"range": "bytes=0-1", "if-range": if_range})
    assert response.status == status
    assert bench.asked == 1


@pytest.mark.parametrize(("second", "status"), [("41", 200), ("40", 200), ("39", 206)])
async def test_a_weak_date_is_no_reason_for_a_part(bench, second, status) -> None:
    """Section 8.8.2.2: changed in the second in which it was sent, which is the 40th."""
    modified = f"Thu, 02 Feb 2017 01:46:{second} GMT"
    bench.says(200, {"cache-control": "max-age=100", "last-modified": modified}, BODY)
    await bench.visit()
    response = await bench.visit({"range": "bytes=0-1", "if-range": modified})
    assert response.status == status


async def test_a_condition_comes_before_a_range(bench) -> None:
    """Section 13.2.2."""
    await stored(bench)
    fields = {"range": "bytes=0-1", "if-none-match": '"1"'}
    assert (await bench.visit(fields)).status == 304


async def test_an_answer_that_there_is_no_such_part_is_not_kept(bench) -> None:
    """It would answer those who ask for all of it."""
    bench.says(416, {**FRESH, "content-range": "bytes */10"}, b"")
    assert (await bench.visit({"range": "bytes=10-"})).status == 416
    bench.says(200, FRESH, BODY)
    assert (await bench.visit()).body == BODY


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize(
    ("asked", "forwarded"),
    [
        ("bytes=0-1", True),
        ("bytes=0-1,-1", True),
        ("lines=0-,0-,0-", True),
        ("bytes=0-,0-,0-", False),
        ("bytes=-5,-4", False),
        ("bytes=" + ",".join(f"{2 * n}-{2 * n}" for n in range(16)), True),
        ("bytes=" + ",".join(f"{2 * n}-{2 * n}" for n in range(17)), False),
    ],
)
async def test_ranges_that_would_be_ignored_are_not_asked_for(
    bench, asked, forwarded, method
) -> None:
    """RFC 9110 section 14.2: such a request makes an origin send a page many times over."""
    bench.says(200, {"cache-control": "no-store"}, BODY)
    await bench.visit({"range": asked, "if-range": '"1"'}, method=method)
    sent = bench.origin.requests[-1].headers
    assert sent.has_any({"range", "if-range"}) is forwarded


async def test_a_range_given_twice_is_none(bench) -> None:
    """Section 14.2: the field is no list of sets."""
    await stored(bench)
    response = await bench.visit([("range", "bytes=0-1"), ("range", "bytes=2-3")])
    assert (response.status, response.body) == (200, BODY)


async def test_a_part_has_what_a_part_must_have(bench) -> None:
    """Section 15.3.7."""
    await stored(bench, expires="x", content_location="/x", vary="foo")
    response = await bench.visit({"range": "bytes=0-1"})
    names = ("date", "cache-control", "etag", "expires", "content-location", "vary")
    assert [name for name in names if name not in response.headers] == []


async def test_without_a_range_if_range_means_nothing(bench) -> None:
    """Section 13.1.5."""
    await stored(bench)
    response = await bench.visit({"if-range": '"2"'})
    assert (response.status, response.body, bench.asked) == (200, BODY, 1)


async def test_a_copy_that_is_gone_is_not_begun_to_be_sent_in_parts(bench) -> None:
    await stored(bench)
    bench.clock.advance(200)
    answers = iter([Response(304, Headers([("etag", '"2"')])), Response(500, body=b"no")])
    bench.origin.answer = lambda request: next(answers)
    response = await bench.visit({"range": "bytes=0-0,2-3"})
    assert (response.status, response.body) == (500, b"no")


async def test_a_stale_page_is_validated_before_a_part_is_taken(bench) -> None:
    await stored(bench)
    bench.clock.advance(100)
    bench.says(304, {"etag": '"1"', "cache-control": "max-age=100"}, b"")
    response = await bench.visit({"range": "bytes=0-1"})
    assert (response.status, response.body) == (206, b"01")
    bench.clock.advance(100)
    bench.says(200, {**FRESH, "etag": '"2"'}, b"abcdef")
    response = await bench.visit({"range": "bytes=0-1"})
    assert (response.status, response.body) == (206, b"ab")
