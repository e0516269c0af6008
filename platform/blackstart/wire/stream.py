"""One connection's bytes as whole frames, in and out; bounded both ways.

A protocol of its own instead of asyncio's streams, which cost twice as much for each frame:
nearly always a frame comes alone and whole, and is handed on as the bytes object it came in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from blackstart.errors import WireError
from blackstart.wire.frames import frame_length
from blackstart.wire.header import HEADER_BYTES
from blackstart.wire.limits import LIMITS, WireLimits

AHEAD_BYTES = 64 * 1024
"""So many bytes are read beyond the frame that is asked for; then the peer has to wait."""


class FrameStream(asyncio.Protocol):
    """Reads by `receive`, writes by `send`; one reader and one writer at a time."""

    def __init__(
        self,
        limits: WireLimits = LIMITS,
        *,
        opened: Callable[[FrameStream], None] | None = None,
    ) -> None:
        """`opened` is called when the connection is there."""
        self.limits = limits
        """May change from one frame to the next."""
        self.is_known = False
        """Whether the peer has shown who it is, where a server asks for that."""
        self._opened = opened
        self._transport: asyncio.Transport | None = None
        self._whole: bytes | None = None
        """A frame that came alone; then `_rest` is empty."""
        self._rest = bytearray()
        self._wanted = 0
        self._ended = False
        self._lost: Exception | None = None
        self._reading_paused = False
        self._waiting: asyncio.Future[None] | None = None
        self._writing: asyncio.Future[None] | None = None
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def peer(self) -> str:
        """HOST:PORT of the other side."""
        found = self._transport and self._transport.get_extra_info("peername")
        return "{}:{}".format(*(found or ("unknown", 0))[:2])

    @property
    def is_gone(self) -> bool:
        """Whether the peer has closed, or is about to be cut off."""
        return self._ended or self._transport is None or self._transport.is_closing()

    @property
    def waiting_bytes(self) -> int:
        """How much has come and was not taken yet."""
        return len(self._rest) + len(self._whole or b"")

    async def receive(self) -> bytes | None:
        """The next whole frame, header and all; None when the peer has closed between two.

        What a peer announces is not taken from memory before it has sent it.
        Raises: WireError for a length out of bounds, or a stream that ends within a frame;
        ConnectionError for a connection that broke.
        """
        while (frame := self._take()) is None:
            if self._lost is not None:
                raise ConnectionResetError(str(self._lost)) from self._lost
            if self._ended:
                if self._rest:
                    raise WireError("the connection ended within a message")
                return None
            self._resume_reading()
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        return frame

    async def send(self, frame: bytes) -> None:
        """Raises: ConnectionError when the connection is gone; what was sent may have arrived."""
        self.write(frame)
        if self._writing is not None:
            # Shielded: several may wait for it, and one that gives up must not end it for all.
            await asyncio.shield(self._writing)

    def write(self, frame: bytes) -> None:
        """Without waiting for a slow peer. Raises: ConnectionError."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the connection is closed")
        self._transport.write(frame)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    async def wait_closed(self) -> None:
        if self._transport is not None:
            await asyncio.shield(self._closed)

    def _take(self) -> bytes | None:
        """A frame that is here already. Raises: WireError."""
        if self._whole is not None:
            frame, self._whole = self._whole, None
            return frame
        rest = self._rest
        if len(rest) < max(self._wanted, HEADER_BYTES):
            return None
        self._wanted = frame_length(rest, self.limits)
        if len(rest) < self._wanted:
            return None
        frame = bytes(memoryview(rest)[: self._wanted])
        del rest[: self._wanted]
        self._wanted = 0
        return frame

    def _resume_reading(self) -> None:
        if self._reading_paused and self._transport is not None:
            self._reading_paused = False
            self._transport.resume_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are not asyncio's by class.
        self._transport = cast(asyncio.Transport, transport)
        if self._opened is not None:
            self._opened(self)

    def data_received(self, data: bytes) -> None:
        if (
            self._whole is None
            and not self._rest
            and len(data) >= HEADER_BYTES
            and int.from_bytes(data[:4], "little", signed=True) == len(data)
            and len(data) <= self.limits.message_bytes
        ):
            self._whole = data
        else:
            if self._whole is not None:
                self._rest += self._whole
                self._whole = None
            self._rest += data
            if len(self._rest) > self._wanted + AHEAD_BYTES:
                self._pause_reading()
        self._wake()

    def _pause_reading(self) -> None:
        if not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def eof_received(self) -> bool:
        self._ended = True
        self._wake()
        # What is asked already is still answered; TLS cannot be closed on one side alone.
        return self._transport is not None and not self._transport.get_extra_info("sslcontext")

    def pause_writing(self) -> None:
        self._writing = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None and not writing.done():
            writing.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._lost = exc
        self._wake()
        writing, self._writing = self._writing, None
        if writing is not None and not writing.done():
            writing.set_exception(exc or ConnectionResetError("the connection is closed"))
            writing.exception()
        if not self._closed.done():
            self._closed.set_result(None)
