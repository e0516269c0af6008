"""Slow clients, idle ones, and the drain at the end; time passes only as the tests say."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from blackstart.cdn.front import Limits
from blackstart.cdn.message import Headers, Request, Response

Serve = Callable[..., AbstractAsyncContextManager[Any]]

GET = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
LIMITS = Limits(
    header_timeout_s=10,
    idle_timeout_s=60,
    progress_timeout_s=30,
    progress_bytes=100,
    linger_s=4,
)


async def received(client: Any, data: bytes) -> None:
    """Send, and give the front time to see it."""
    await client.send(data)
    await asyncio.sleep(0.01)


async def test_a_head_that_drips_is_refused_in_time(serve: Serve) -> None:
    async with serve(LIMITS) as site, site.client() as client:
        await received(client, GET[:5])
        for at in range(5, 14):
            await site.clock.pass_time(1)
            await received(client, GET[at : at + 1])
        assert site.front.connections == 1
        await site.clock.pass_time(3)
        status, fields, _ = await client.answer()
        assert (status, fields["connection"]) == (408, "close")
        assert await client.rest() == b""


async def test_the_time_of_a_head_begins_with_its_own_first_byte(serve: Serve) -> None:
    async with serve(LIMITS) as site, site.client() as client:
        for _ in range(3):
            await received(client, GET[:5])
            await site.clock.pass_time(8)
            await received(client, GET[5:])
            assert (await client.answer())[0] == 200


async def test_a_connection_that_never_asks_is_closed(serve: Serve) -> None:
    async with serve(LIMITS) as site, site.client() as client:
        await received(client, b"")
        await site.clock.pass_time(12)
        assert await client.rest() == b""


async def test_an_idle_connection_is_closed_later(serve: Serve) -> None:
    async with serve(LIMITS) as site, site.client() as client:
        await client.send(GET)
        await client.answer()
        await site.clock.pass_time(55)
        await client.send(GET)
        assert (await client.answer())[0] == 200
        await site.clock.pass_time(63)
        assert await client.rest() == b""


@pytest.mark.parametrize("step_bytes, refused", [(2, True), (200, False)])
async def test_a_body_that_drips_is_refused(serve: Serve, step_bytes: int, refused: bool) -> None:
    post = b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2000\r\n\r\n"
    async with serve(LIMITS) as site, site.client() as client:
        await received(client, post)
        for _ in range(2 if refused else 10):
            await site.clock.pass_time(16)
            await received(client, b"x" * step_bytes)
        assert (await client.answer())[0] == (408 if refused else 200)


async def test_a_body_that_the_node_does_not_read_is_not_the_client_s_fault(serve: Serve) -> None:
    reads = asyncio.Event()

    async def answer(request: Request) -> Response:
        await reads.wait()
        return await site.node.read_and_echo(request)  # type: ignore[no-any-return]

    size = 20_000_000
    async with serve(LIMITS) as site, site.client() as client:
        site.node.later = answer
        head = f"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {size}\r\n\r\n"
        client.writer.write(head.encode() + b"x" * size)
        await asyncio.sleep(0.05)
        await site.clock.pass_time(200)
        reads.set()
        assert (await client.answer())[0] == 200


async def test_a_node_may_take_long(serve: Serve) -> None:
    answers = asyncio.Event()

    async def answer(request: Request) -> Response:
        await answers.wait()
        return Response(200, Headers(), b"page")

    async with serve(LIMITS) as site, site.client() as client:
        site.node.at_once = lambda _: None
        site.node.later = answer
        await received(client, GET)
        await site.clock.pass_time(500)
        answers.set()
        assert (await client.answer())[2] == b"page"


async def test_a_client_that_stops_reading_is_cut(serve: Serve) -> None:
    async with serve(LIMITS) as site, site.client() as client:
        site.node.at_once = lambda _: Response(200, Headers(), b"x" * 30_000_000)
        await received(client, GET)
        await asyncio.sleep(0.05)
        client.writer.transport.pause_reading()
        await site.clock.pass_time(32)
        assert site.front.connections == 1
        await site.clock.pass_time(70)
        await asyncio.sleep(0.01)
        assert site.front.connections == 0


async def test_a_refused_client_may_read_why_while_it_sends(serve: Serve) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 99999999999\r\n\r\n"
    async with serve(LIMITS) as site, site.client() as client:
        await received(client, head)
        await received(client, b"x" * 5_000_000)
        assert (await client.answer())[0] == 413
        assert site.front.connections == 1
        await site.clock.pass_time(6)
        await asyncio.sleep(0.01)
        assert site.front.connections == 0


async def test_a_drain_ends_idle_connections_and_lets_answers_go_out(serve: Serve) -> None:
    answers = asyncio.Event()

    async def answer(request: Request) -> Response:
        await answers.wait()
        return Response(200, Headers(), b"page")

    async with serve(LIMITS) as site, site.client() as idle, site.client() as busy:
        await idle.send(GET)
        await idle.answer()
        site.node.at_once = lambda _: None
        site.node.later = answer
        await received(busy, GET)
        draining = asyncio.ensure_future(site.front.drain(10))
        assert await idle.rest() == b""
        with pytest.raises(ConnectionRefusedError):
            async with site.client():
                pass
        assert not draining.done()
        answers.set()
        status, fields, body = await busy.answer()
        assert (status, fields["connection"], body) == (200, "close", b"page")
        assert await busy.rest() == b""
        await site.clock.pass_time(0.5)
        await asyncio.wait_for(draining, 5)


async def test_a_drain_closes_after_an_answer_that_had_begun(serve: Serve) -> None:
    goes_on = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"pa"
        await goes_on.wait()
        yield b"ge"

    async with serve(LIMITS) as site, site.client() as client:
        site.node.at_once = lambda _: Response(200, Headers(), body())
        await received(client, GET)
        draining = asyncio.ensure_future(site.front.drain(10))
        await asyncio.sleep(0.01)
        goes_on.set()
        status, fields, page = await client.answer()
        assert (status, fields.get("connection"), page) == (200, None, b"page")
        assert await client.rest() == b""
        await site.clock.pass_time(0.5)
        await asyncio.wait_for(draining, 5)


async def test_a_drain_has_an_end(serve: Serve) -> None:
    cancelled = asyncio.Event()

    async def answer(request: Request) -> Response:
        try:
            return await asyncio.Event().wait()  # type: ignore[return-value]
        finally:
            cancelled.set()

    async with serve(LIMITS) as site, site.client() as client:
        site.node.at_once = lambda _: None
        site.node.later = answer
        await received(client, GET)
        draining = asyncio.ensure_future(site.front.drain(10))
        await asyncio.sleep(0.01)
        await site.clock.pass_time(9, step_s=0.05)
        assert not draining.done()
        await site.clock.pass_time(2, step_s=0.05)
        await asyncio.wait_for(draining, 5)
        assert cancelled.is_set()
        with pytest.raises(ConnectionResetError):
            await client.rest()


async def test_run_serves_until_it_is_cancelled(serve: Serve) -> None:
    from blackstart.cdn.front import Front

    async with serve(LIMITS) as site:
        sock = socket.create_server(("127.0.0.1", 0))
        ready = asyncio.Event()
        front = Front(site.node, site.clock)
        site.port = sock.getsockname()[1]
        running = asyncio.ensure_future(front.run(sock, 1, ready.set))
        await asyncio.wait_for(ready.wait(), 5)
        async with site.client() as client:
            await client.send(GET)
            assert (await client.answer())[0] == 200
            running.cancel()
            assert await client.rest() == b""
        await site.clock.pass_time(2)
        with pytest.raises(asyncio.CancelledError):
            await running
