"""How messages look on the wire on both sides of a node (RFC 9110 sections 6 and 15, RFC 9112)."""

from __future__ import annotations

import asyncio

import pytest
from tests.cdn.raw_site import FRESH, answer, echo, parsed, site_up

GET = b"GET /page HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"
OLD_GET = b"GET /page HTTP/1.0\r\nHost: a.example\r\n\r\n"
EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: x-y\r\nX-Y: 1\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-t\r\n"
CHUNKS = b"3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n"


def unchunked(body: bytes) -> bytes:
    """A chunked body's content; what follows the last chunk must be its empty line."""
    content = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        if not int(size, 16):
            assert body == b"\r\n"
            return content
        content += body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]


async def test_answers_before_the_answer_are_passed_on(site) -> None:
    """RFC 9110 section 15.2: all but 100, and not to HTTP/1.0."""
    site.origin.says = lambda _: b"HTTP/1.1 100 Continue\r\n\r\n" + EARLY + answer(b"page", b"")
    raw = await site.send(GET)
    early, _, rest = raw.partition(b"\r\n\r\n")
    assert early.lower() == b"http/1.1 103 early hints\r\nlink: </a.css>"
    assert (parsed(rest).status, parsed(rest).body) == (200, b"page")
    raw = await site.send(OLD_GET)
    assert (parsed(raw).status, raw.count(b"HTTP/1.1 ")) == (200, 1)


@pytest.mark.parametrize("stored", [True, False])
async def test_a_chunked_answer_loses_its_framing_extensions_and_trailers(site, stored) -> None:
    """RFC 9112 sections 7.1.1 and 7.1.2, RFC 9110 section 6.5.1."""
    site.origin.says = lambda _: CHUNKED + (FRESH if stored else b"") + b"\r\n" + CHUNKS
    for _ in range(2):
        got = parsed(await site.send(GET))
        chunked = "transfer-encoding" in got.headers
        assert chunked is not ("content-length" in got.headers)
        assert (unchunked(got.body) if chunked else got.body) == b"abcde"
        assert not got.headers.has_any({"trailer", "x-t"})
    assert len(site.origin.asked) == (1 if stored else 2)


async def test_an_old_client_never_sees_chunks(site) -> None:
    """RFC 9112 section 6.1."""
    site.origin.says = lambda _: CHUNKED + b"\r\n" + CHUNKS
    got = parsed(await site.send(OLD_GET))
    assert got.body == b"abcde"
    assert not got.headers.has_any({"transfer-encoding", "trailer"})


async def test_a_node_speaks_its_own_version(site) -> None:
    """RFC 9110 section 6.2: an old origin's answer, an old client's request."""
    site.origin.closes = True
    site.origin.says = lambda _: b"HTTP/1.0 200 OK\r\n" + FRESH + b"\r\nup to the end"
    raw = await site.send(OLD_GET)
    assert raw.startswith(b"HTTP/1.1 200 ")
    got = parsed(await site.send(GET))
    assert got.body == b"up to the end"
    assert "hit" in got.cache_status
    assert site.origin.asked[0].headers.get("via") == "1.0 n1"


async def test_a_body_goes_up_with_the_framing_it_came_with(site) -> None:
    """RFC 9112 section 6: chunked stays chunked, without its extensions and trailers."""
    post = b"POST /page HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n"
    await site.send(post + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS)
    asked = site.origin.asked[-1]
    assert (asked.body, asked.headers.get("transfer-encoding")) == (b"abcde", "chunked")
    assert not asked.headers.has_any({"content-length", "x-t", "trailer"})
    await site.send(post + b"Content-Length: 5\r\n\r\nabcde")
    asked = site.origin.asked[-1]
    assert (asked.body, asked.headers.get("content-length")) == (b"abcde", "5")
    assert "transfer-encoding" not in asked.headers


async def test_an_expectation_is_passed_on_and_so_is_what_the_origin_says_to_it(site) -> None:
    """RFC 9110 section 10.1.1."""
    post = b"POST /page HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nContent-Length: 4\r\n"
    raw = await site.send(post + b"Expect: 100-continue\r\n\r\n", patience_s=0.2)
    assert raw == b"HTTP/1.1 100 Continue\r\n\r\n"
    raw = await site.send(post + b"Expect: 100-continue\r\n\r\npage")
    assert parsed(raw).status == 200
    assert "expect" not in site.origin.asked[-1].headers, "this one did not wait"
    raw = await site.send(post.replace(b"1.1", b"1.0") + b"Expect: 100-continue\r\n\r\npage")
    assert parsed(raw).status == 200
    raw = await site.send(post + b"Expect: a-miracle\r\n\r\npage")
    assert parsed(raw).status == 417


async def test_who_waits_may_be_told_no_before_the_body_is_sent(site) -> None:
    site.origin.goes_on = False
    site.origin.says = lambda _: answer(b"too much", b"", b"413 Content Too Large")
    post = b"POST /page HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\n"
    got = parsed(await site.send(post + b"Expect: 100-continue\r\n\r\n"))
    assert (got.status, got.body) == (413, b"too much")
    assert got.headers.all("connection") == ["close"], "nobody knows what comes next"
    assert site.origin.asked[-1].headers.get("expect") == "100-continue"
    site.origin.says = echo
    assert (await site.ask()).body == b"GET a.example /page "


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        (b"204 No Content", b""),
        (b"205 Reset Content", b"Content-Length: 0\r\n"),
        (b"304 Not Modified", b'ETag: "1"\r\nContent-Length: 9\r\n'),
    ],
)
@pytest.mark.parametrize("fresh", [FRESH, b""])
async def test_answers_without_content(site, status, fields, fresh) -> None:
    """RFC 9110 sections 8.6, 15.3.5, 15.3.6, 15.4.5; the connection goes on after each."""
    site.origin.says = lambda _: b"HTTP/1.1 " + status + b"\r\n" + fields + fresh + b"\r\n"
    ask = GET.replace(b"Connection: close", b'If-None-Match: "1"')
    raw = await site.send(ask + GET)
    assert raw.count(b"HTTP/1.1 " + status[:3]) == 2
    for each in raw.split(b"HTTP/1.1 ")[1:]:
        got = parsed(b"HTTP/1.1 " + each)
        assert got.body == b""
        assert not (status.startswith(b"204") and "content-length" in got.headers)


async def test_fields_of_a_connection_end_there_both_ways(site) -> None:
    """RFC 9110 section 7.6.1."""
    own = (
        b"Connection: close, x-own\r\nX-Own: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nUpgrade: h2c\r\n"
    )
    site.origin.says = lambda _: answer(
        b"page",
        FRESH + b"Connection: x-its\r\nX-Its: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\n",
    )
    ask = b"GET /page HTTP/1.1\r\nHost: a.example\r\n" + own + b"\r\n"
    for _ in range(2):
        got = parsed(await site.send(ask))
        assert got.headers.all("connection") == ["close"]
        assert not got.headers.has_any({"x-its", "keep-alive", "proxy-connection"})
    asked = site.origin.asked[0].headers
    assert not asked.has_any({"connection", "x-own", "keep-alive", "te", "upgrade"})


async def test_an_answer_without_a_date_gets_one(site) -> None:
    """RFC 9110 section 6.6.1: kept or not, and never two."""
    for fields in (b"", FRESH, b"Cache-Control: private\r\n"):
        site.origin.says = lambda _, fields=fields: answer(b"page", fields)
        target = f"/{len(site.origin.asked)}"
        for _ in range(2):
            assert len((await site.ask(target)).headers.all("date")) == 1


async def test_a_node_does_not_name_itself_as_the_server(site) -> None:
    """RFC 9110 section 10.2.4: an intermediary leaves Server to the origin."""
    site.origin.says = lambda _: answer(b"page", FRESH + b"Server: its-own\r\n")
    assert (await site.ask()).headers.all("server") == ["its-own"]
    site.origin.says = lambda _: answer(b"page")
    assert (await site.ask("/other")).headers.all("server") == []


async def test_the_whole_page_is_there_or_the_visitor_can_tell(site) -> None:
    """RFC 9112 section 8: a body that breaks off is not kept and not ended as if it were whole."""
    site.origin.closes = True
    site.origin.says = lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n" + FRESH + b"\r\nhalf"
    got = parsed(await site.send(GET))
    assert got.headers.get("content-length") == "9"
    assert len(got.body) < 9
    broken = CHUNKED + FRESH + b"\r\n" + CHUNKS[:8]
    site.origin.says = lambda _: broken
    raw = await site.send(GET)
    assert not raw.endswith(b"0\r\n\r\n")
    site.origin.says = lambda _: answer(b"page")
    assert parsed(await site.send(GET)).body == b"page"


@pytest.mark.parametrize(
    ("says", "status"), [(b"", 504), (b"HTTP/1.1 200 OK\r\n", 504), (b"?", 502)]
)
async def test_an_origin_that_is_late_is_told_from_one_that_makes_no_sense(says, status) -> None:
    """RFC 9110 sections 15.6.3 and 15.6.5."""
    async with site_up(read_timeout_s=0.05) as site:
        site.origin.says = lambda _: says
        assert (await site.ask()).status == status


@pytest.mark.parametrize(
    ("method", "rested_s", "times"),
    [("GET", 1.1, 2), ("DELETE", 1.1, 2), ("POST", 1.1, 1), ("FOO", 1.1, 1), ("GET", 0, 1)],
)
async def test_only_what_is_idempotent_is_sent_again(site, method, rested_s, times) -> None:
    """RFC 9110 section 9.2.2: where a connection that had rested turns out to be closed."""
    await site.ask("/first")
    await asyncio.sleep(rested_s)
    site.origin.closes = True
    site.origin.says = lambda _: b""
    assert (await site.ask("/page", method=method)).status == 502
    assert [asked.target for asked in site.origin.asked] == ["/first", *["/page"] * times]
