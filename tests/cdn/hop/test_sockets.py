"""Tests of the hop over sockets, against an origin that sends whatever a test says."""

import asyncio
import os
import socket

import pytest

from blackstart.cdn.hop import SocketHop, UnansweredError, UnreachableError
from blackstart.cdn.message import Headers, Request, close_body
from blackstart.errors import HopError, UsageError

GET = Request("GET", "/", "a.example")
HEADERS = Headers(
    [("Connection", "x-mine"), ("X-Mine", "1"), ("Accept-Encoding", "gzip"), ("Expect", "x")]
)
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
END = b"\r\n0\r\n\r\n"
PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage"


async def test_the_answer_comes_as_it_is_neither_followed_nor_decoded(origin_of) -> None:
    asked: list[bytes] = []

    async def turn(line) -> None:
        asked.append(await line.request())
        await line.say(
            b"HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Encoding: gzip \r\n"
            b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nConnection: close, X-Secret\r\n"
            b"X-Secret: 1\r\nKeep-Alive: 5\r\nEmpty:\r\nContent-Length: 6\r\n\r\nzipped"
        )

    async with origin_of(turn, path="/base/") as (hop, _):
        response = await hop.send(Request("GET", "/a%2Fb%7E?q=%20", "Site.example", HEADERS))
    assert response.status == 302
    assert response.body == b"zipped"
    assert response.headers == Headers(
        [
            ("location", "/other"),
            ("content-encoding", "gzip"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("empty", ""),
            ("content-length", "6"),
        ]
    )
    assert asked == [
        b"GET /base/a%2Fb%7E?q=%20 HTTP/1.1\r\nhost: Site.example\r\naccept-encoding: gzip\r\n\r\n"
    ]


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", b""),
        (CHUNKED.replace(b"c", b"C") + b"1;x=y\r\na\r\n2\r\nbc\r\n0\r\n\r\n", b"abc"),
        (CHUNKED + b"1\r\na\r\n0\r\nTrailer: x\r\n\r\n", b"a"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", b""),
    ],
)  # fmt: skip
async def test_a_whole_answer_is_bytes_and_its_connection_is_used_again(
    origin_of, answering, answer: bytes, body: bytes
) -> None:
    async with origin_of(answering(answer, PAGE)) as (hop, origin):
        first = await hop.send(GET)
        assert first.body == body
        assert "trailer" not in first.headers
        assert (await hop.send(GET)).body == b"page"
        assert len(origin.lines) == 1


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\nto the end", b"to the end"),
        (b"HTTP/1.1 200 OK\r\n\r\nto the end", b"to the end"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b""),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold", b"old"),
        (b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 3\r\n\r\nend", b"end"),
    ],
)
async def test_a_connection_that_ends_with_its_answer_is_not_used_again(
    origin_of, answering, read, answer: bytes, body: bytes
) -> None:
    async with origin_of(answering(answer, close=True), answering(PAGE)) as (hop, origin):
        assert await read((await hop.send(GET)).body) == body
        assert (await hop.send(GET)).body == b"page"
        assert len(origin.lines) == 2


async def test_an_old_origin_may_keep_its_connection_when_it_says_so(origin_of, answering) -> None:
    old = b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 3\r\n\r\nold"
    async with origin_of(answering(old, PAGE)) as (hop, origin):
        assert (await hop.send(GET)).body == b"old"
        assert (await hop.send(GET)).body == b"page"
        assert len(origin.lines) == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"not HTTP at all\r\n\r\n", "does not speak"),
        (b"ICE/1.1 200 OK\r\n\r\n", "does not speak"),
        (b"HTTP/2.0 200 OK\r\n\r\n", "HTTP/2.0"),
        (b"HTTP/1.1 99 No\r\n\r\n", "status"),
        (b"HTTP/1.1 600 No\r\n\r\n", "600"),
        (b"HTTP/1.1 OK\r\n\r\n", "status"),
        (b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", "CR"),
        (OK + b"A: b\r\n folded\r\n\r\n", "whitespace"),
        (OK + b"A B: c\r\n\r\n", "token"),
        (OK + b"A: b\0c\r\n\r\n", "value char"),
        (OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", "content-length"),
        (OK + b"Content-Length: 1, 2\r\n\r\na", "content-length"),
        (OK + b"Content-Length: -1\r\n\r\na", "content-length"),
        (OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n" + END, "Transfer-Encoding"),
        (OK + b"Transfer-Encoding: gzip, chunked\r\n" + END, "gzip"),
        (OK + b"Transfer-Encoding: chunked\r\n" * 2 + END, "chunked"),
        (OK + b"Transfer-Encoding: identity\r\n\r\na", "identity"),
        (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n" + END, "HTTP/1.0"),
        (b"HTTP/1.1 101 Up\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", "protocol"),
        (OK + b"A: " + b"a" * 70_000 + b"\r\n\r\n", "over 65536 bytes"),
        (OK + b"A: " + b"a" * 70_000, "over 65536 bytes"),
        (b"HTTP/1.1 103 Early\r\n\r\n" * 4000, "over 65536 bytes"),
        (OK + b"Content-", "closed"),
    ],
)  # fmt: skip
async def test_an_answer_that_is_not_clear_is_none(
    origin_of, answering, answer: bytes, reason: str
) -> None:
    async with origin_of(answering(answer, close=True)) as (hop, _):
        with pytest.raises(HopError, match=f"(?i)gave no answer: .*{reason}") as caught:
            await hop.send(GET)
        assert not isinstance(caught.value, UnansweredError)
        assert hop.pool.open == 0


@pytest.mark.parametrize(
    ("start", "rest"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", b""),
        (CHUNKED + b"4\r\nhalf\r\n", b""),
        (CHUNKED + b"4\r\nhalf\r\n", b"z\r\n"),
        (CHUNKED + b"4\r\nhalf\r\n", b"0\r\nA: " + b"a" * 70_000),
        (CHUNKED + b"4\r\nhalf\r\n", b"1;" + b"a" * 70_000),
    ],
)  # fmt: skip
async def test_a_body_that_breaks_off_raises_after_what_had_come(
    origin_of, answering, start: bytes, rest: bytes
) -> None:
    go_on = asyncio.Event()

    async def turn(line) -> None:
        await line.request()
        await line.say(start)
        await go_on.wait()
        await line.say(rest)

    async with origin_of(turn) as (hop, _):
        response = await hop.send(GET)
        chunks = []
        with pytest.raises(HopError, match="broke off"):
            async for chunk in response.body:
                chunks.append(chunk)
                go_on.set()
        assert chunks == [b"half"]
        assert hop.pool.open == 0


async def test_a_reset_in_the_middle_of_a_body_raises(origin_of) -> None:
    go_on = asyncio.Event()

    async def turn(line) -> None:
        await line.request()
        await line.say(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await go_on.wait()
        line.writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
        )
        line.reset()

    async with origin_of(turn) as (hop, _):
        response = await hop.send(GET)
        with pytest.raises(HopError, match="broke off"):
            async for _chunk in response.body:
                go_on.set()


@pytest.mark.parametrize("more", [b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"])
@pytest.mark.parametrize(
    "method_and_answer",
    [
        ("GET", PAGE),
        ("GET", CHUNKED + b"4\r\npage\r\n0\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\n\r\n"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ],
)
async def test_bytes_after_an_answer_never_become_the_next_one(
    origin_of, answering, method_and_answer: tuple[str, bytes], more: bytes
) -> None:
    method, answer = method_and_answer
    async with origin_of(answering(answer + more), answering(PAGE)) as (hop, origin):
        assert (await hop.send(Request(method, "/", "a.example"))).status in (200, 304)
        assert hop.pool.open == 0
        assert (await hop.send(GET)).body == b"page"
        assert len(origin.lines) == 2


async def test_bytes_that_came_unread_never_become_the_next_answer(origin_of, answering) -> None:
    async def turn(line) -> None:
        await line.request()
        await line.say(PAGE)
        await line.reader.read()

    async with origin_of(turn, answering(PAGE)) as (hop, origin):
        await hop.send(GET)
        # Past the loop, which has no time to look at it before the next request goes out.
        descriptor = origin.lines[0].writer.get_extra_info("socket").fileno()
        os.write(descriptor, PAGE.replace(b"page", b"evil"))
        assert (await hop.send(GET)).body == b"page"
        assert len(origin.lines) == 2


async def test_bytes_that_come_later_end_an_idle_connection(origin_of) -> None:
    go_on, ended = asyncio.Event(), asyncio.Event()

    async def turn(line) -> None:
        await line.request()
        await line.say(PAGE)
        await go_on.wait()
        await line.say(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        assert await line.reader.read() == b""
        ended.set()

    async with origin_of(turn) as (hop, _):
        await hop.send(GET)
        assert (hop.pool.open, hop.pool.idle) == (1, 1)
        go_on.set()
        await ended.wait()
        assert (hop.pool.open, hop.pool.idle) == (0, 0)


@pytest.mark.parametrize(
    ("answer", "connections"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n", 2),
        (CHUNKED, 2),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 1),
        (b"HTTP/1.1 404 No\r\nX-A: b\r\n\r\n", 1),
    ],
)
async def test_an_answer_to_head_has_no_body(
    origin_of, answering, answer: bytes, connections: int
) -> None:
    # A broken origin might still send the body that it announced: its connection isn't kept.
    async with origin_of(answering(answer, PAGE), answering(PAGE)) as (hop, origin):
        response = await hop.send(Request("HEAD", "/", "a.example"))
        assert response.body == b""
        assert (response.headers.get("content-length") == "999") == (b"999" in answer)
        assert (await hop.send(GET)).body == b"page"
        assert len(origin.lines) == connections


async def test_an_answer_without_content_announces_none(origin_of, answering) -> None:
    async with origin_of(answering(b"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n")) as (hop, _):
        response = await hop.send(GET)
    assert (response.status, response.body, len(response.headers)) == (204, b"", 0)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_interim_answers_are_passed_on_but_100(origin_of, answering, method: str) -> None:
    answer = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n"
        b"Connection: x-a\r\nX-A: 1\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n"
        b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"
    )
    told: list[tuple[int, Headers]] = []
    async with origin_of(answering(answer)) as (hop, _):
        response = await hop.send(
            Request(method, "/", "a.example", interim=lambda *interim: told.append(interim))
        )
        assert hop.pool.idle == 1
    assert response.status == 404
    assert told == [(103, Headers([("link", "</a>")])), (103, Headers())]


async def test_an_answer_may_come_byte_by_byte(origin_of, read) -> None:
    async def turn(line) -> None:
        await line.request()
        for byte in PAGE:
            await line.say(bytes([byte]))
            await asyncio.sleep(0)
        await line.reader.read()

    async with origin_of(turn) as (hop, _):
        response = await hop.send(GET)
        assert await read(response.body) == b"page"
        assert response.headers == Headers([("content-length", "4")])
        assert hop.pool.idle == 1


async def test_an_origin_that_is_not_there_is_unreachable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        hop = SocketHop(f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(UnreachableError, match="no answer") as caught:
            await hop.send(GET)
        assert caught.value.definite
        assert hop.pool.open == 0
        await hop.close()


async def test_a_closed_hop_sends_nothing(origin_of, answering) -> None:
    async with origin_of(answering(PAGE)) as (hop, origin):
        await hop.close()
        with pytest.raises(UnreachableError, match="closed"):
            await hop.send(GET)
        assert origin.lines == []


@pytest.mark.parametrize(
    "request_",
    [
        Request("GET", "/a b", "a.example"),
        Request("GET", "/a\r\nx: y", "a.example"),
        Request("GET", "http://a.example/", "a.example"),
        Request("GET", "/", "a.example\r\nx: y"),
        Request("GET", "/", "a.example", Headers([("x", "y\r\nz: 1")])),
        Request("GET", "/", "a.example", Headers([("x", "y\nz: 1")])),
        Request("GET", "/", "a.example", Headers([("x", "y\0")])),
        Request("GET /", "/", "a.example"),
        Request("CONNECT", "/", "a.example"),
    ],
)
async def test_a_request_that_could_be_read_as_two_is_not_sent(
    origin_of, answering, request_: Request
) -> None:
    async with origin_of(answering(PAGE)) as (hop, origin):
        with pytest.raises(HopError):
            await hop.send(request_)
        assert origin.lines == []


@pytest.mark.parametrize(
    "url",
    ["ftp://a.example", "a.example", "http://", "http://u@a.example", "http://a.example/?q",
     "http://a.example:x", "http://a.example/a b", "https://a.example/#f"],
)  # fmt: skip
def test_a_url_of_no_origin_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="no origin's URL"):
        SocketHop(url)


async def test_a_body_can_be_given_up_before_it_is_read(origin_of) -> None:
    async def turn(line) -> None:
        await line.request()
        await line.say(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        assert await line.reader.read() == b""

    async with origin_of(turn) as (hop, _):
        response = await hop.send(GET)
        await close_body(response.body)
        assert hop.pool.open == 0
        with pytest.raises(HopError, match="given up"):
            await anext(response.body)
