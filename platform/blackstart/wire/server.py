"""A server for MongoDB's protocol: each connection's messages, answered one after the other.

What is answered is the business of the handler that each connection gets.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

import structlog

from blackstart.errors import BlackstartError, WireError
from blackstart.wire.answers import encode_answer
from blackstart.wire.connections import Connections, Peer
from blackstart.wire.faults import CommandError, error_document
from blackstart.wire.limits import LIMITS, WireLimits
from blackstart.wire.message import Message
from blackstart.wire.parsing import parse_message
from blackstart.wire.stream import FrameStream

Answer = Mapping[str, Any] | bytes
Handler = Callable[[Message], Awaitable[Sequence[Answer]]]
"""Answers one message: with one document, or several where the message allows exhaust."""

_log = structlog.get_logger(__name__)


class WireServer:
    """Serves one handler for each connection."""

    def __init__(
        self,
        handler_for: Callable[[Peer], Handler],
        *,
        max_connections: int = 1_000,
        limits: WireLimits = LIMITS,
    ) -> None:
        self._handler_for = handler_for
        self._limits = limits
        self._open = Connections(self._serve, max_connections=max_connections, limits=limits)
        self._answers = itertools.count(1)

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._open)

    async def start(self, sock: socket.socket) -> None:
        """Accept connections on a bound socket, which the server now owns."""
        await self._open.start(sock)

    async def stop(self) -> None:
        """Accept no more, and end all connections where they stand."""
        await self._open.stop()

    async def run(self, sock: socket.socket, ready: Callable[[], object] | None = None) -> None:
        """Serve until cancelled, as SIGTERM does through `service.run`; then stop."""
        await self._open.run(sock, ready)

    async def _serve(self, peer: Peer, stream: FrameStream) -> None:
        coming = asyncio.ensure_future(stream.receive())
        try:
            handler = self._handler_for(peer)
            while (frame := await coming) is not None:
                message = parse_message(frame, self._limits)
                # Read ahead, so that it is noticed when the client goes away meanwhile.
                coming = asyncio.ensure_future(stream.receive())
                for answer in await _unless_gone(self._answer(handler, message), coming):
                    await stream.send(answer)
        except WireError as error:
            _log.info("a connection spoke no MongoDB", peer=peer.address, reason=error.message)
        finally:
            await _end(coming)

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


async def _unless_gone(
    work: Coroutine[Any, Any, list[bytes]], coming: asyncio.Future[bytes | None]
) -> list[bytes]:
    """What `work` comes to; it is ended when the client has closed the connection before."""
    answering = asyncio.ensure_future(work)
    try:
        either: list[asyncio.Future[Any]] = [answering, coming]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done() and not coming.exception() and coming.result() is None:
            raise ConnectionResetError("the client did not wait for its answer")
        return await answering
    finally:
        await _end(answering)


async def _end(task: asyncio.Future[Any]) -> None:
    """Cancel what still runs; how it ends is of no interest any more."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()
