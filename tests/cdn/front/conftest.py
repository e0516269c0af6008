"""What the front's tests share: a scripted node, a clock whose ticks are told, a raw client."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
import uvloop

from blackstart.cdn.front import AccessLog, Front, Limits, TrustedPeers
from blackstart.cdn.message import Headers, Request, Response, whole_body
from blackstart.clock import Clock, Event, WallEvent

PATIENCE_S = 5
"""How long a test waits for what must come; a failing test takes this long, no other does."""


class TickClock(Clock):
    """Sleeps last until `pass_time` has moved the time far enough."""

    def __init__(self) -> None:
        self.now_s = 1_486_000_000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def time(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.now_s + seconds, woken))
        await woken

    async def pass_time(self, seconds: float, step_s: float = 0.25) -> None:
        for _ in range(round(seconds / step_s)):
            self.now_s += step_s
            due = [each for each in self._sleepers if each[0] <= self.now_s + 1e-6]
            self._sleepers = [each for each in self._sleepers if each not in due]
            for _, woken in due:
                if not woken.done():
                    woken.set_result(None)
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    def event(self) -> Event:
        return WallEvent()

    def beside(
        self, name: str, story: Coroutine[Any, Any, None]
    ) -> AbstractAsyncContextManager[None]:
        raise AssertionError("a front has nothing that runs beside")

    def spawn(self, name: str, story: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.ensure_future(story)

    async def kill(self, spawned: asyncio.Task[None]) -> None:
        spawned.cancel()
        await asyncio.wait([spawned])


class ScriptedNode:
    """Answers at once, unless `later` is set: then that coroutine function answers."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.bodies: list[bytes] = []
        self.at_once: Callable[[Request], Response | None] = echo
        self.later: Callable[[Request], Awaitable[Response]] = self.read_and_echo

    def quick(self, request: Request) -> Response | None:
        response = self.at_once(request)
        if response is not None:
            self.requests.append(request)
        return response

    async def answer(self, request: Request) -> Response:
        self.requests.append(request)
        return await self.later(request)

    async def read_and_echo(self, request: Request) -> Response:
        self.bodies.append(await whole_body(request.body))
        return echo(request)


def echo(request: Request) -> Response:
    text = f"{request.method} {request.host} {request.target}".encode()
    return Response(200, Headers([("content-type", "text/plain")]), text)


class Client:
    """A raw connection: what is sent is what was written in the test."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, *, head_only: bool = False) -> tuple[int, dict[str, str], bytes]:
        """The next answer: status, fields, body."""
        async with asyncio.timeout(PATIENCE_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            start, *lines = head[:-4].split("\r\n")
            status = int(start.split(" ")[1])
            fields = {name: value for name, _, value in [line.partition(": ") for line in lines]}
            assert len(fields) == len(lines), "a field came twice"
            if head_only or status < 200 or status in (204, 304):
                return status, fields, b""
            if "content-length" in fields:
                return status, fields, await self.reader.readexactly(int(fields["content-length"]))
            if fields.get("transfer-encoding") == "chunked":
                return status, fields, await self._chunked()
            return status, fields, await self.reader.read()

    async def rest(self) -> bytes:
        """What comes until the connection ends. Raises: ConnectionError when it is reset."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read()

    async def close(self) -> None:
        self.writer.close()
        # That it was reset is what some tests are about.
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()

    async def _chunked(self) -> bytes:
        body: list[bytes] = []
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            body.append((await self.reader.readexactly(size + 2))[:-2])
        assert await self.reader.readexactly(2) == b"\r\n"
        return b"".join(body)


class Site:
    """A front that is running, and how to reach it."""

    def __init__(self, front: Front, node: ScriptedNode, clock: TickClock, port: int) -> None:
        self.front = front
        self.node = node
        self.clock = clock
        self.port = port

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        try:
            yield client
        finally:
            await client.close()

    async def ask(self, data: bytes) -> tuple[int, dict[str, str], bytes]:
        async with self.client() as client:
            await client.send(data)
            return await client.answer()


Serve = Callable[..., AbstractAsyncContextManager[Site]]


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """On the loop that servers run on: its transports differ from asyncio's."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def serve() -> Serve:
    @asynccontextmanager
    async def serve(
        limits: Limits | None = None,
        trusted: TrustedPeers | None = None,
        access_log: Callable[[Clock], AccessLog] | None = None,
    ) -> AsyncIterator[Site]:
        clock = TickClock()
        node = ScriptedNode()
        log = access_log(clock) if access_log is not None else None
        front = Front(node, clock, limits=limits, trusted=trusted, access_log=log)
        sock = socket.create_server(("127.0.0.1", 0))
        await front.start(sock)
        try:
            yield Site(front, node, clock, sock.getsockname()[1])
        finally:
            await front.drain(0)
            await gone(front)

    return serve


async def gone(front: Front) -> None:
    """Wait until the front has no connection left."""
    async with asyncio.timeout(PATIENCE_S):
        while front.connections:  # noqa: ASYNC110 - the front tells nobody when it is empty
            await asyncio.sleep(0.001)
