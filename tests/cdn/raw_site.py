"""A node between raw bytes on both sides: what a visitor sends, what an origin answers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from blackstart.cdn.message import Headers
from blackstart.cdn.serving import serve_node
from blackstart.cdn.settings import CdnSettings

FRESH = b"Cache-Control: max-age=60\r\n"


@dataclass
class Asked:
    """A request as the origin got it."""

    method: str
    target: str
    headers: Headers
    body: bytes

    @property
    def host(self) -> str:
        return self.headers.get("host") or ""


Answer = Callable[[Asked], bytes]


def answer(body: bytes, fields: bytes = FRESH, status: bytes = b"200 OK") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    return b"HTTP/1.1 " + status + b"\r\n" + fields + length + b"\r\n" + body


def echo(asked: Asked) -> bytes:
    """An origin that shows what it was asked."""
    return answer(f"{asked.method} {asked.host} {asked.target} ".encode("latin-1") + asked.body)


@dataclass
class Origin:
    """Bytes in, bytes out; `says` writes each answer, `closes` ends the connection with it.

    `goes_on` is what it thinks of an expectation: 100, or the whole answer before any content.
    """

    says: Answer = echo
    closes: bool = False
    goes_on: bool = True
    asked: list[Asked] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                self.asked.append(await read_request(reader, self._on_expectation(writer)))
                writer.write(self.says(self.asked[-1]))
                if self.closes:
                    break
        writer.close()

    def _on_expectation(self, writer: asyncio.StreamWriter) -> Callable[[], bool]:
        def go_on() -> bool:
            if self.goes_on:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return self.goes_on

        return go_on


async def read_request(reader: asyncio.StreamReader, go_on: Callable[[], bool]) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *lines = head.split("\r\n")[:-2]
    method, target, _ = line.split(" ")
    headers = Headers([(name, value) for name, _, value in [x.partition(": ") for x in lines]])
    body = b""
    if "expect" in headers and not go_on():
        pass
    elif "transfer-encoding" in headers:
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
    elif "content-length" in headers:
        body = await reader.readexactly(int(headers.get("content-length") or ""))
    return Asked(method, target, headers, body)


@dataclass
class Got:
    status: int
    headers: Headers
    body: bytes

    @property
    def cache_status(self) -> str:
        return self.headers.get("cache-status") or ""


class Site:
    """A node, its origin, and whoever comes."""

    def __init__(self, origin: Origin, url: str) -> None:
        self.origin = origin
        self._host, _, self._port = url.removeprefix("http://").rpartition(":")

    async def send(self, data: bytes, *, patience_s: float = 2.0) -> bytes:
        """What comes back, until the node closes or falls silent."""
        reader, writer = await asyncio.open_connection(self._host, int(self._port))
        writer.write(data)
        got = b""
        with suppress(TimeoutError, ConnectionError):
            while piece := await asyncio.wait_for(reader.read(65536), patience_s):
                got += piece
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        return got

    async def ask(
        self, target: str = "/page", *lines: str, host: str = "a.example", method: str = "GET"
    ) -> Got:
        fields = "".join(f"{line}\r\n" for line in (f"Host: {host}", *lines, "Connection: close"))
        raw = await self.send(f"{method} {target} HTTP/1.1\r\n{fields}\r\n".encode("latin-1"))
        return parsed(raw)


def parsed(raw: bytes) -> Got:
    head, _, body = raw.partition(b"\r\n\r\n")
    line, *lines = head.decode("latin-1").split("\r\n")
    headers = Headers([(name, value) for name, _, value in [x.partition(": ") for x in lines]])
    return Got(int(line.split(" ")[1]), headers, body)


@asynccontextmanager
async def site_up(**options: object) -> AsyncIterator[Site]:
    """A node with these settings and its origin, each on a port of its own."""
    origin = Origin()
    server = await asyncio.start_server(origin.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    settings = CdnSettings(origin_url=url, purge_token="secret", node_name="n1", **options)
    ready = asyncio.get_running_loop().create_future()
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    running = asyncio.ensure_future(serve_node(settings, sock, ready=ready.set_result))
    try:
        yield Site(origin, await ready)
    finally:
        running.cancel()
        await asyncio.wait([running])
        sock.close()
        server.close()
        await server.wait_closed()
