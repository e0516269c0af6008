"""A webhook's server over real sockets, which can be away, hang and come back."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from typing import Any


class OtherSide:
    """A webhook's server at one address: nobody listens, or nobody answers, or all is well."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as found:
            self.port = int(found.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}/services/secret"
        self.posted: list[dict[str, Any]] = []
        self.hanging = 0
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    async def begin(self, answers: Callable[..., Any]) -> None:
        """Listen; `answers` takes each connection."""
        await self.stop()
        self._server = await asyncio.start_server(answers, "127.0.0.1", self.port)

    async def stop(self) -> None:
        """As a server that was killed: its connections break."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def hang(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self.hanging += 1
        await reader.read()

    async def drip(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Begin an answer, and go on without end."""
        self._writers.append(writer)
        writer.write(b"HTTP/1.1 200 OK\r\nX-More: ")
        while not writer.is_closing():
            writer.write(b".")
            await asyncio.sleep(0.01)

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].split()[0])
        self.posted.append(json.loads(await reader.readexactly(length)))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()

    def texts(self) -> list[str]:
        return [each["blocks"][0]["text"]["text"].splitlines()[0] for each in self.posted]
