"""A server for MongoDB's protocol: connections, their limits, and a clean end.

What is answered is the business of the handler that each connection gets.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from blackstart.errors import BlackstartError, WireError
from blackstart.wire.answers import encode_answer
from blackstart.wire.faults import CommandError, error_document
from blackstart.wire.frames import read_frame
from blackstart.wire.limits import LIMITS, WireLimits
from blackstart.wire.message import Message
from blackstart.wire.parsing import parse_message

Answer = Mapping[str, Any] | bytes
Handler = Callable[[Message], Awaitable[Sequence[Answer]]]
"""Answers one message: with one document, or several where the message allows exhaust."""

_BACKLOG = 512
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Peer:
    """Whose connection a handler serves: a number that no other connection of the server has."""

    number: int
    address: str


class WireServer:
    """Serves one handler for each connection, which answers its messages one after the other."""

    def __init__(
        self,
        handler_for: Callable[[Peer], Handler],
        *,
        max_connections: int = 1_000,
        limits: WireLimits = LIMITS,
    ) -> None:
        self._handler_for = handler_for
        self._max_connections = max_connections
        self._limits = limits
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._peers = itertools.count(1)
        self._answers = itertools.count(1)

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._tasks)

    async def start(self, sock: socket.socket) -> None:
        """Accept connections on a bound socket, which the server now owns."""
        self._server = await asyncio.start_server(self._connected, sock=sock, backlog=_BACKLOG)

    async def stop(self) -> None:
        """Accept no more, and end all connections where they stand."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def run(self, sock: socket.socket, ready: Callable[[], object] | None = None) -> None:
        """Serve until cancelled, as SIGTERM does through `service.run`; then stop."""
        await self.start(sock)
        try:
            if ready is not None:
                ready()
            await asyncio.get_running_loop().create_future()
        finally:
            await self.stop()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None or len(self._tasks) >= self._max_connections:
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = (writer.get_extra_info("peername") or ("unknown", 0))[:2]
        peer = Peer(next(self._peers), f"{host}:{port}")
        try:
            handler = self._handler_for(peer)
            while (frame := await read_frame(reader, self._limits)) is not None:
                message = parse_message(frame, self._limits)
                for answer in await self._answer(handler, message):
                    writer.write(answer)
                    await writer.drain()
        except WireError as error:
            _log.info("a connection spoke no MongoDB", peer=peer.address, reason=error.message)
        except (ConnectionError, asyncio.CancelledError):
            # The peer is gone, or the server ends: either way there is nobody to tell.
            pass
        finally:
            writer.transport.abort()
            with contextlib.suppress(Exception):
                await writer.wait_closed()

    async def _answer(self, handler: Handler, message: Message) -> list[bytes]:
        try:
            documents = list(await handler(message))
            if message.more_to_come:
                return []
            return [
                self._encode(message, document, more=number < len(documents))
                for number, document in enumerate(documents, 1)
            ]
        except CommandError as error:
            refusal = error.document()
        except WireError:
            raise
        except BlackstartError as error:
            refusal = error_document("UnknownError", str(error))
        except Exception as error:
            _log.exception("a command failed", command=message.command)
            refusal = error_document("InternalError", f"{type(error).__name__}: {error}")
        return [] if message.more_to_come else [self._encode(message, refusal, more=False)]

    def _encode(self, message: Message, document: Answer, *, more: bool) -> bytes:
        assert not more or message.exhaust_allowed, "several answers to one message"
        number = next(self._answers) & 0x7FFF_FFFF
        return encode_answer(message, document, request_id=number, more_to_come=more)
