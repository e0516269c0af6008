"""What the node's tests share: a clock that only moves when told, an origin that is scripted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from tests.cdn.raw_site import Site, site_up

from blackstart.cdn.message import Headers, Request, Response, close_body
from blackstart.cdn.node import Node
from blackstart.cdn.storage.cache import Cache
from blackstart.clock import Clock, Event, WallEvent

START_S = 1_486_000_000.0


class FakeClock(Clock):
    """Moves by `sleep` and `advance` only."""

    def __init__(self) -> None:
        self.now_s = START_S
        self.slept_s: list[float] = []
        self.spawned: list[asyncio.Task[None]] = []

    def time(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_s += seconds

    def event(self) -> Event:
        return WallEvent()

    def beside(
        self, name: str, story: Coroutine[Any, Any, None]
    ) -> AbstractAsyncContextManager[None]:
        raise AssertionError("a node has nothing that runs beside")

    def spawn(self, name: str, story: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(story)
        self.spawned.append(task)
        return task

    async def kill(self, spawned: asyncio.Task[None]) -> None:
        spawned.cancel()
        await asyncio.wait([spawned])

    def advance(self, seconds: float) -> None:
        self.now_s += seconds


class Stream:
    """A body in chunks, which may break off, and which knows whether it was closed."""

    def __init__(self, chunks: list[bytes], error: Exception | None = None) -> None:
        self.chunks = list(chunks)
        self.error = error
        self.closed = False

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> bytes:
        if self.chunks:
            return self.chunks.pop(0)
        if self.error is not None:
            raise self.error
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closed = True


class ScriptedOrigin:
    """A hop whose answer is whatever `answer` holds; `meanwhile` runs while it is under way."""

    def __init__(self) -> None:
        self.answer: Response | Exception | Callable[[Request], Response] = Response(200)
        self.requests: list[Request] = []
        self.meanwhile: Callable[[], Awaitable[object]] | None = None
        self.closed = False

    def says(self, status: int = 200, body: object = b"page", **fields: str) -> None:
        pairs = [(name.replace("_", "-"), value) for name, value in fields.items()]
        self.answer = Response(status, Headers(pairs), body)  # type: ignore[arg-type]

    async def send(self, request: Request) -> Response:
        self.requests.append(request)
        if self.meanwhile is not None:
            await self.meanwhile()
        if isinstance(self.answer, Exception):
            raise self.answer
        answer = self.answer if isinstance(self.answer, Response) else self.answer(request)
        if request.method == "HEAD" or answer.status in (204, 304):
            await close_body(answer.body)
            return Response(answer.status, answer.headers)
        return answer

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def origin() -> ScriptedOrigin:
    return ScriptedOrigin()


@pytest.fixture
def stream() -> type[Stream]:
    return Stream


@pytest.fixture
def cache(clock: FakeClock) -> Cache:
    return Cache(clock, {"free": 100_000, "enterprise": 100_000}, gather_bytes=1000)


@pytest.fixture
def node(clock: FakeClock, origin: ScriptedOrigin, cache: Cache) -> Node:
    return Node(clock, origin, cache, name="n1")


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with site_up() as running:
        yield running
