"""Tests of the hop to the origin, over real sockets and in process."""

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest

from blackstart.cdn.hop import AsgiHop, SocketHop
from blackstart.cdn.message import Headers, Request, close_body
from blackstart.errors import HopError

HEADERS = Headers(
    [("Connection", "x-mine"), ("X-Mine", "1"), ("Accept-Encoding", "gzip"), ("Expect", "x")]
)


@asynccontextmanager
async def raw_origin(answer: bytes, *, close: bool = True):
    """A server that sends these very bytes to whoever asks, and notes what was asked."""
    asked: list[bytes] = []
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        await writer.drain()
        if close:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        hop = SocketHop(f"http://127.0.0.1:{port}/", read_timeout_s=0.2)
        try:
            yield hop, asked
        finally:
            await hop.close()
            for writer in writers:
                writer.close()
                await writer.wait_closed()


async def read(body) -> bytes:
    return b"".join([chunk async for chunk in body])


async def test_the_answer_comes_as_it_is_neither_followed_nor_decoded() -> None:
    answer = (
        b"HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Encoding: gzip\r\n"
        b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nConnection: close\r\nContent-Length: 6\r\n\r\n"
        b"zipped"
    )
    async with raw_origin(answer) as (hop, asked):
        response = await hop.send(Request("GET", "/a%2Fb%7E?q=%20", "Site.example", HEADERS))
        assert await read(response.body) == b"zipped"
    assert response.status == 302
    assert response.headers.joined("set-cookie") == "a=1, b=2"
    assert "connection" not in response.headers
    lines = asked[0].decode().lower().split("\r\n")
    assert lines[0].startswith("get /a%2fb%7e?q=%20 ")
    assert "host: site.example" in lines
    assert "accept-encoding: gzip" in lines
    for absent in ("x-mine", "expect", "user-agent", "connection: x-mine"):
        assert absent not in asked[0].decode().lower()


async def test_an_upload_arrives_with_its_length() -> None:
    answer = b"HTTP/1.1 204 No Content\r\n\r\n"
    request = Request("POST", "/", "a.example", Headers([("content-length", "999")]), b"four")
    async with raw_origin(answer) as (hop, asked):
        response = await hop.send(request)
        assert await read(response.body) == b""
    assert asked[0].lower().count(b"content-length") == 1
    assert b"content-length: 4" in asked[0].lower()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"not HTTP at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n",
    ],
)
async def test_every_broken_answer_is_a_hop_error(answer: bytes) -> None:
    async with raw_origin(answer) as (hop, _):
        with pytest.raises(HopError, match="no answer"):
            await read((await hop.send(Request("GET", "/", "a.example"))).body)


async def test_an_origin_that_falls_silent_is_a_hop_error() -> None:
    async with raw_origin(b"", close=False) as (hop, _):
        with pytest.raises(HopError, match="no answer"):
            await hop.send(Request("POST", "/", "a.example"))


async def test_an_origin_that_is_not_there_is_a_hop_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        hop = SocketHop(f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(HopError, match="no answer"):
            await hop.send(Request("GET", "/", "a.example"))
        await hop.close()


async def test_a_body_can_be_given_up_before_it_is_read() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
    async with raw_origin(answer, close=False) as (hop, _):
        response = await hop.send(Request("GET", "/", "a.example"))
        await close_body(response.body)


async def test_an_application_is_called_after_the_latency_has_passed(clock) -> None:
    seen: list[dict] = []

    async def app(scope, receive, send) -> None:
        seen.append({**scope, "at": clock.time(), "event": await receive()})
        await send({"type": "http.response.start", "status": 201, "headers": [(b"X-Y", b"z")]})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send({"type": "http.response.body", "body": b"b"})

    started = clock.time()
    hop = AsgiHop(app, clock, lambda: 0.25)
    response = await hop.send(Request("PUT", "/a%20b?c=d", "a.example", HEADERS, b"form"))
    await hop.close()
    assert (response.status, response.body) == (201, b"ab")
    assert response.headers == Headers([("x-y", "z")])
    [scope] = seen
    assert scope["at"] == started + 0.25
    assert scope["event"]["body"] == b"form"
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/a b", b"/a%20b", b"c=d")
    assert scope["headers"] == [
        (b"host", b"a.example"),
        (b"accept-encoding", b"gzip"),
        (b"content-length", b"4"),
    ]


async def test_an_application_that_breaks_off_is_a_hop_error(clock) -> None:
    async def app(_scope, _receive, send) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})

    with pytest.raises(HopError, match="broke off"):
        await AsgiHop(app, clock, lambda: 0.0).send(Request("GET", "/", "a.example"))


async def test_a_bug_in_the_application_is_not_mistaken_for_an_incident(clock) -> None:
    async def app(_scope, _receive, _send) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await AsgiHop(app, clock, lambda: 0.0).send(Request("GET", "/", "a.example"))
