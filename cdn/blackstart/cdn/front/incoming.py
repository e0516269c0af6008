"""A request's body on its way in: what arrives waits here, bounded, until the node reads it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from blackstart.cdn.front.chunks import Chunks
from blackstart.cdn.front.limits import Limits
from blackstart.cdn.front.refusal import Refusal
from blackstart.cdn.front.requests import CHUNKED

WINDOW_BYTES = 256 * 1024
SHORT_BYTES = 64 * 1024


class Source(Protocol):
    """The connection that a body comes from."""

    def reconsider_reading(self) -> None: ...

    def send_continue(self) -> None: ...


class Incoming:
    """An iterator of bytes for the node, fed by the connection.

    The client is told to go on (100) when the node first reads. Reading
    raises a Refusal when the body turns out bad, too long or too slow, and a
    UsageError when the client leaves.
    """

    def __init__(self, source: Source, length: int, limits: Limits, *, expects: bool) -> None:
        self.complete = False
        self._source = source
        self._limit_bytes = limits.body_bytes
        self._chunks = Chunks(limits.head_bytes) if length == CHUNKED else None
        self._left = length
        self._taken_bytes = 0
        self._expects = expects
        self._pieces: deque[bytes] = deque()
        self._held_bytes = 0
        self._wanted = True
        self._error: Exception | None = None
        self._reader: asyncio.Future[None] | None = None

    @property
    def expects(self) -> bool:
        """Whether the client waits to be told to go on."""
        return self._expects

    @property
    def is_full(self) -> bool:
        """Whether so much waits for the node that no more should be taken from the socket."""
        return self._held_bytes > WINDOW_BYTES

    @property
    def is_short(self) -> bool:
        """Whether reading it to its end, and throwing it away, is cheaper than a new connection."""
        return self._chunks is None and self._left <= SHORT_BYTES and not self._expects

    def feed(self, data: bytes) -> bytes | None:
        """Take what arrived; returns what follows the body, None while it goes on.

        Raises: Refusal.
        """
        self._expects = False
        pieces, rest = self._split(data)
        # In one: a chunk of two bytes would take twenty times that while it waits.
        piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._taken_bytes += len(piece)
        if piece and self._wanted:
            self._pieces.append(piece)
            self._held_bytes += len(piece)
        if self._taken_bytes > self._limit_bytes:
            raise Refusal(413, f"a body may have {self._limit_bytes} bytes")
        self.complete = rest is not None
        self._wake()
        return rest

    def fail(self, error: Exception) -> None:
        """Nothing more will come: tell whoever reads."""
        if not self.complete:
            self._error = error
            self._pieces.clear()
            self._wake()

    def __aiter__(self) -> Incoming:
        return self

    async def __anext__(self) -> bytes:
        if self._expects:
            self._expects = False
            self._source.send_continue()
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self.complete or not self._wanted:
                raise StopAsyncIteration
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        piece = self._pieces.popleft()
        was_full = self.is_full
        self._held_bytes -= len(piece)
        if was_full:
            self._source.reconsider_reading()
        return piece

    async def aclose(self) -> None:
        self.discard()

    def discard(self) -> None:
        """Throw away what is there and what comes."""
        self._wanted = False
        self._pieces.clear()
        self._held_bytes = 0
        self._wake()
        self._source.reconsider_reading()

    def _split(self, data: bytes) -> tuple[list[bytes], bytes | None]:
        if self._chunks is not None:
            return self._chunks.feed(data), self._chunks.rest
        piece = data[: self._left]
        self._left -= len(piece)
        return [piece] if piece else [], None if self._left else data[len(piece) :]

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
