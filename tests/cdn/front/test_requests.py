"""What the node is told of a request: target, host, fields, client, body."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from blackstart.cdn.front import Limits
from blackstart.cdn.message import Headers, Request, Response

Serve = Callable[..., AbstractAsyncContextManager[Any]]


def ask(line: str, *fields: str, body: bytes = b"") -> bytes:
    return "\r\n".join([f"{line} HTTP/1.1", *fields, "", ""]).encode("latin-1") + body


@pytest.mark.parametrize(
    "line, host, target",
    [
        ("GET /a?b=c", "A.Example", "a.example /a?b=c"),
        ("GET /", "a.example:8080", "a.example:8080 /"),
        ("GET /", "a.example:", "a.example /"),
        ("GET /", "[2001:DB8::1]:80", "[2001:db8::1]:80 /"),
        ("GET //b.example/c", "a.example", "a.example //b.example/c"),
        ("GET /%2e%2E/%zz|{}\\", "a.example", "a.example /%2e%2E/%zz|{}\\"),
        ("GET /http://b.example/", "a.example", "a.example /http://b.example/"),
        ("GET http://B.example/c?d", "a.example", "b.example /c?d"),
        ("GET HTTP://b.example:81", "a.example", "b.example:81 /"),
        ("GET http://b.example?c", "a.example", "b.example /?c"),
        ("OPTIONS *", "a.example", "a.example *"),
        ("OPTIONS http://b.example", "a.example", "b.example *"),
        ("PURGE /", "a.example", "a.example /"),
    ],
)
async def test_target_and_host(serve: Serve, line: str, host: str, target: str) -> None:
    async with serve() as site:
        status, _, body = await site.ask(ask(line, f"Host: {host}"))
        assert status == 200
        assert body.decode() == f"{line.split(' ', maxsplit=1)[0]} {target}"


async def test_an_old_client_needs_no_host_beside_an_absolute_target(serve: Serve) -> None:
    async with serve() as site:
        assert (await site.ask(b"GET http://b.example/ HTTP/1.0\r\n\r\n"))[2] == b"GET b.example /"


async def test_empty_lines_before_a_request_are_passed_over(serve: Serve) -> None:
    async with serve() as site:
        assert (await site.ask(b"\r\n\r\n" + ask("GET /", "Host: a.example")))[0] == 200


async def test_fields_of_the_connection_go_no_further(serve: Serve) -> None:
    async with serve() as site:
        await site.ask(
            ask(
                "GET /",
                "Accept:text/html  ",
                "Host: a.example",
                "Connection: x-private, Upgrade,TE",
                "Connection: x-more",
                "X-Private: 1",
                "X-More: 1",
                "Upgrade: websocket",
                "TE: trailers",
                "Trailer: x",
                "Keep-Alive: timeout=5",
                "Proxy-Connection: close",
                "Proxy-Authorization: Basic x",
                "Expect: 100-continue",
                "Forwarded: for=1.2.3.4",
                "X-Forwarded-For: 1.2.3.4",
                "X-Forwarded-Host: evil.example",
                "X-Forwarded-Proto: https",
                "X-Real-IP: 1.2.3.4",
                "Content-Length: 0",
                "Cookie: a=\xe4",
                "Empty:",
            )
        )
        request = site.node.requests[0]
        assert request.headers == Headers(
            [
                ("accept", "text/html"),
                ("cookie", "a=\xe4"),
                ("empty", ""),
                ("content-length", "0"),
            ]
        )
        assert (request.client, request.scheme, request.body) == ("127.0.0.1", "http", b"")


@pytest.mark.parametrize("step", [1, 7, 1000])
@pytest.mark.parametrize(
    "fields, body",
    [
        (["Content-Length: 10"], b"0123456789"),
        (["Content-Length: 010"], b"0123456789"),
        (["Transfer-Encoding: Chunked"], b"4\r\n0123\r\n6\r\n456789\r\n0\r\n\r\n"),
        (["Transfer-Encoding: chunked"], b'00A;a;b="c"\r\n0123456789\r\n0;d\r\nE: f\r\n\r\n'),
    ],
)
async def test_a_body_reaches_the_node_and_what_follows_is_the_next_request(
    serve: Serve, fields: list[str], body: bytes, step: int
) -> None:
    data = ask("POST /", "Host: a.example", *fields, body=body)
    data += ask("GET /next", "Host: a.example")
    async with serve() as site, site.client() as client:
        for at in range(0, len(data), step):
            await client.send(data[at : at + step])
            await asyncio.sleep(0)
        assert (await client.answer())[2] == b"POST a.example /"
        assert (await client.answer())[2] == b"GET a.example /next"
        assert site.node.bodies == [b"0123456789"]


async def test_a_request_with_a_body_never_takes_the_quick_way(serve: Serve) -> None:
    async with serve() as site:
        await site.ask(ask("GET /", "Host: a.example", "Content-Length: 1", body=b"x"))
        assert site.node.bodies == [b"x"]


async def test_a_client_that_asks_first_is_told_to_go_on_when_the_node_reads(serve: Serve) -> None:
    async with serve() as site, site.client() as client:
        reads = asyncio.Event()

        async def answer(request: Request) -> Response:
            await reads.wait()
            return await site.node.read_and_echo(request)

        site.node.later = answer
        expects = ask("POST /", "Host: a.example", "Expect: 100-Continue", "Content-Length: 4")
        await client.send(expects)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.reader.readexactly(1), 0.02)
        reads.set()
        assert await client.answer() == (100, {}, b"")
        await client.send(b"page")
        assert (await client.answer())[0] == 200
        # One that does not wait is not told.
        await client.send(expects + b"page")
        assert (await client.answer())[0] == 200


async def test_a_client_that_was_not_told_to_go_on_is_closed(serve: Serve) -> None:
    async def answer(request: Request) -> Response:
        return Response(403, Headers(), b"no")

    async with serve() as site, site.client() as client:
        site.node.later = answer
        await client.send(
            ask("POST /", "Host: a.example", "Expect: 100-continue", "Content-Length: 4")
        )
        status, fields, _ = await client.answer()
        assert (status, fields["connection"]) == (403, "close")
        await client.send(ask("GET /smuggled", "Host: a.example"))
        assert await client.rest() == b""
        assert len(site.node.requests) == 1


@pytest.mark.parametrize("size, closes", [(1000, False), (1_000_000, True)])
async def test_what_the_node_does_not_read_is_thrown_away_when_it_is_short(
    serve: Serve, size: int, closes: bool
) -> None:
    async def answer(request: Request) -> Response:
        return Response(403, Headers(), b"no")

    async with serve() as site, site.client() as client:
        site.node.later = answer
        await client.send(ask("POST /", "Host: a.example", f"Content-Length: {size}"))
        status, fields, _ = await client.answer()
        assert (status, fields.get("connection")) == (403, "close" if closes else None)
        await client.send(b"x" * size)
        if closes:
            assert await client.rest() == b""
        else:
            await client.send(ask("GET /next", "Host: a.example"))
            assert (await client.answer())[2] == b"GET a.example /next"


async def test_a_node_that_does_not_read_holds_the_client_back(serve: Serve) -> None:
    size = 50_000_000
    reads = asyncio.Event()
    received = 0

    async def answer(request: Request) -> Response:
        nonlocal received
        await reads.wait()
        assert not isinstance(request.body, bytes)
        async for piece in request.body:
            received += len(piece)
        return Response(200, Headers(), b"")

    async with serve() as site, site.client() as client:
        site.node.later = answer
        client.writer.transport.set_write_buffer_limits(high=0)
        await client.send(ask("POST /", "Host: a.example", f"Content-Length: {size}"))
        sending = asyncio.ensure_future(client.send(b"x" * size))
        _, pending = await asyncio.wait([sending], timeout=0.1)
        assert pending
        assert client.writer.transport.get_write_buffer_size() > size // 2
        reads.set()
        assert (await client.answer())[0] == 200
        await sending
        assert received == size


async def test_a_node_that_reads_hears_that_the_client_left(serve: Serve) -> None:
    heard: list[BaseException] = []
    began, ended = asyncio.Event(), asyncio.Event()

    async def read(request: Request) -> None:
        try:
            async for _ in request.body:  # type: ignore[union-attr]
                began.set()
        except Exception as error:
            heard.append(error)
        ended.set()

    async def answer(request: Request) -> Response:
        reading = asyncio.ensure_future(read(request))
        await asyncio.shield(reading)
        return Response(200)

    async with serve() as site:
        site.node.later = answer
        async with site.client() as client:
            await client.send(ask("POST /", "Host: a.example", "Content-Length: 4", body=b"pa"))
            await asyncio.wait_for(began.wait(), 5)
        await asyncio.wait_for(ended.wait(), 5)
        assert [str(error) for error in heard] == [
            "the client left before its request was complete"
        ]


async def test_a_bad_body_after_the_answer_began_resets_the_connection(serve: Serve) -> None:
    async def body() -> Any:
        yield b"pa"
        await asyncio.Event().wait()

    async def answer(request: Request) -> Response:
        return Response(200, Headers(), body())

    async with serve(Limits(body_bytes=10)) as site, site.client() as client:
        site.node.later = answer
        await client.send(ask("POST /", "Host: a.example", "Transfer-Encoding: chunked"))
        await client.reader.readuntil(b"2\r\npa\r\n")
        await client.send(b"zz\r\n")
        with pytest.raises(ConnectionResetError):
            await client.rest()


async def test_a_bad_body_ends_the_work_of_a_node_that_does_not_read_it(serve: Serve) -> None:
    ended = asyncio.Event()

    async def answer(request: Request) -> Response:
        try:
            return await asyncio.Event().wait()  # type: ignore[return-value]
        finally:
            ended.set()

    async with serve() as site, site.client() as client:
        site.node.later = answer
        await client.send(ask("POST /", "Host: a.example", "Transfer-Encoding: chunked"))
        await asyncio.sleep(0.01)
        await client.send(b"zz\r\n")
        assert (await client.answer())[0] == 400
        await asyncio.wait_for(ended.wait(), 5)
