"""A scripted origin: what it sends is bytes, pauses and cuts, whatever it is asked."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import pytest
import uvloop

from blackstart.cdn.hop import SocketHop
from blackstart.cdn.message import Body

Turn = Callable[["Line"], Awaitable[None]]


class Line:
    """One accepted connection, seen from the origin."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def head(self) -> bytes:
        """The next request's line and fields."""
        return await self.reader.readuntil(b"\r\n\r\n")

    async def request(self) -> bytes:
        """The next request with its body."""
        head = await self.head()
        length = re.search(rb"content-length: (\d+)", head)
        if length:
            return head + await self.reader.readexactly(int(length[1]))
        if b"transfer-encoding: chunked" in head:
            return head + await self.reader.readuntil(b"0\r\n\r\n")
        return head

    async def say(self, data: bytes) -> None:
        if self.writer.is_closing():  # To write then is an error of its own on uvloop.
            raise ConnectionResetError("the hop closed the connection")
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Close without a farewell."""
        self.writer.transport.abort()


class Origin:
    """Each connection takes the next of `turns`; the last one is taken again and again."""

    def __init__(self, turns: list[Turn]) -> None:
        self.turns = turns
        self.lines: list[Line] = []
        self.url = ""
        self.failures: list[BaseException] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line(reader, writer)
        turn = self.turns[min(len(self.lines), len(self.turns) - 1)]
        self.lines.append(line)
        try:
            await turn(line)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # The hop closed the connection, as it may.
        except Exception as error:
            self.failures.append(error)
        finally:
            writer.close()


def answering(*answers: bytes, close: bool = False) -> Turn:
    """A turn that sends one of the answers for each request, in order."""

    async def turn(line: Line) -> None:
        for answer in answers:
            await line.request()
            await line.say(answer)
        if not close:
            await line.reader.read()

    return turn


async def read(body: Body) -> bytes:
    """All of a body, read chunk by chunk."""
    return body if isinstance(body, bytes) else b"".join([chunk async for chunk in body])


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Servers run on uvloop, whose transports differ from asyncio's; tests of sockets on both."""
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
        "asyncio": asyncio.new_event_loop
    }
    if "origin_of" in getattr(item, "fixturenames", ()):
        factories["uvloop"] = uvloop.new_event_loop
    return factories


@pytest.fixture(name="answering")
def _answering() -> Callable[..., Turn]:
    return answering


@pytest.fixture(name="read")
def _read() -> Callable[[Body], Awaitable[bytes]]:
    return read


@pytest.fixture
def origin_of() -> Callable[..., AbstractAsyncContextManager[tuple[SocketHop, Origin]]]:
    """`async with origin_of(turn, ...) as (hop, origin)`: a server and the hop to it."""

    @asynccontextmanager
    async def open_origin(
        *turns: Turn,
        path: str = "",
        scheme: str = "http",
        serving: ssl.SSLContext | None = None,
        **options: object,
    ) -> AsyncIterator[tuple[SocketHop, Origin]]:
        origin = Origin(list(turns))
        server = await asyncio.start_server(origin.serve, "127.0.0.1", 0, limit=2**20, ssl=serving)
        origin.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}{path}"
        hop = SocketHop(origin.url, **options)  # type: ignore[arg-type]
        try:
            yield hop, origin
        finally:
            await hop.close()
            server.close()
            for line in origin.lines:
                line.writer.close()
                await _closed(line)
            await server.wait_closed()
        assert origin.failures == []

    return open_origin


async def _closed(line: Line) -> None:
    with suppress(ConnectionError):  # It may have been reset, which closes it as well.
        await line.writer.wait_closed()
