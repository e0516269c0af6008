"""One request's answer as it arrives: what the parser calls, and the body that is read from it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import httptools

from blackstart.cdn.hop.failures import broken_off, no_answer, unanswered
from blackstart.cdn.hop.framing import Framing, framing_of, keeps_alive, may_trail, promised_s
from blackstart.cdn.hop.mending import is_mendable, mended
from blackstart.cdn.message import HOP_BY_HOP, Headers
from blackstart.errors import HopError

# With more of a body than this unread, the connection isn't read.
HIGH_WATER_BYTES = 256 * 1024
# Not every origin knows of 100: so long the body is held back for one (RFC 9110 section 10.1.1).
PATIENCE_S = 1.0


class Carrier(Protocol):
    """The connection that an exchange happens on."""

    def pause(self) -> None:
        """Read nothing more until `resume`."""
        ...

    def resume(self) -> None: ...

    def done(self, *, reusable: bool, promised_s: int | None) -> None:
        """The answer is complete; the origin may have said how long it keeps the connection."""
        ...

    def abort(self) -> None:
        """Close the connection at once; it tells the exchange nothing more."""
        ...


class Exchange:
    """An answer under way, and the iterator over its body.

    Fed by a connection; whoever asked waits in `head`, and reads the body to
    its end or closes it with `aclose`. `failure` is set once nothing more will
    come: a body's reader is given what had arrived before it is raised.

    The parser is as strict as it can be: a folded line (RFC 9112 section 5.2) is refused
    like all that two readers could read in two ways. A head that it refuses is tried once
    more after repairs that the RFC asks for.
    """

    __slots__ = (
        "_announces",
        "_buffered",
        "_carrier",
        "_chunks",
        "_fed_bytes",
        "_field_bytes",
        "_framing",
        "_going",
        "_held",
        "_interim",
        "_max_head_bytes",
        "_mending",
        "_method",
        "_pairs",
        "_parser",
        "_paused",
        "_progress",
        "_promised_s",
        "_raw",
        "_reusable",
        "_told",
        "_waiter",
        "complete",
        "excess",
        "failure",
        "headers",
        "started",
        "status",
    )

    def __init__(
        self,
        carrier: Carrier,
        method: str,
        interim: Callable[[int, Headers], None] | None,
        max_head_bytes: int,
    ) -> None:
        self._carrier = carrier
        self._method = method
        self._interim = interim
        self._max_head_bytes = max_head_bytes
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._pairs: list[tuple[str, str]] = []
        self._held: bytearray | None = bytearray() if method == "HEAD" else None
        self._raw: bytes | None = b""  # What came, while it may be repaired.
        self._mending = False
        self._fed_bytes = 0
        self._field_bytes = 0
        self._progress = False
        self._framing: Framing | None = None
        self._announces = False
        self._reusable = False
        self._promised_s: int | None = None
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._told = False  # The origin said 100.
        self._going: asyncio.Future[None] | None = None
        self.status = 0
        self.headers = Headers.trusted(())
        self.started = False
        self.complete = False
        self.excess = False
        self.failure: Exception | None = None

    # --- what the connection tells ---

    def feed(self, data: bytes) -> None:
        """Bytes came."""
        parser = self._parser
        if parser is None:
            return
        if not self.started:
            self.started = True
            # The parser would take other protocols' status lines as well.
            if data[:5] != b"HTTP/"[: len(data)]:
                self.fail(no_answer("it does not speak HTTP/1.1"))
                return
        self._progress = False
        if self._raw is not None:
            self._raw += data
        try:
            self._parse(parser, data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self.complete:
                self.fail(self._broken(error))
                return
            self.excess = True
        if self.complete:
            self._end()
        elif not self._progress and not self._count(len(data)):
            return
        elif self._buffered > HIGH_WATER_BYTES and not self._paused:
            self._paused = True
            self._carrier.pause()
        self._wake()

    def eof(self) -> None:
        """The origin has closed its side: the end of a body that nothing else delimits."""
        if self._framing is Framing.CLOSE and self._parser is not None:
            self.complete = True
            self._reusable = False
            self._end()
            self._wake()

    def lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        if self.complete or self.failure is not None:
            return
        reason = error or "the connection was closed"
        if self._framing is not None:
            self.fail(broken_off(reason))
        elif self.started:
            self.fail(no_answer(reason))
        else:
            self.fail(unanswered(reason))

    def fail(self, error: Exception) -> None:
        """Give the answer up: whoever waits for more of it is told why."""
        if self.complete or self.failure is not None:
            return
        self.failure = error
        self._parser = None
        self._carrier.abort()
        self._wake()

    # --- what whoever asked calls ---

    @property
    def head_came(self) -> bool:
        """Whether status and headers are there."""
        return self._framing is not None

    async def head(self) -> None:
        """Wait until `status` and `headers` are there. Raises: HopError when they won't come."""
        while self._framing is None:
            if self.failure is not None:
                raise self.failure
            await self._wait()

    async def goes_on(self) -> bool:
        """Wait for the origin to ask for the body; False: it answers without it."""
        if not (self._told or self.head_came):
            self._going = asyncio.get_running_loop().create_future()
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE_S):
                    await self._going
            self._going = None
        if self.head_came:
            self._reusable = False  # The origin may still wait for the body.
        return not self.head_came

    def take(self) -> bytes:
        """What has arrived of the body and was not read yet."""
        chunks = self._chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self._buffered = 0
        return data

    def __aiter__(self) -> Exchange:
        return self

    async def __anext__(self) -> bytes:
        while not self._chunks:
            if self.complete:
                raise StopAsyncIteration
            if self.failure is not None:
                raise self.failure
            await self._wait()
        data = self.take()
        if self._paused:
            self._paused = False
            self._carrier.resume()
        return data

    async def aclose(self) -> None:
        self._chunks.clear()
        if not self.complete:
            self.fail(broken_off("it was given up by its reader"))

    # --- what the parser calls ---

    def on_message_begin(self) -> None:
        if self.complete:
            raise no_answer("more came than the answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._field_bytes += len(name) + len(value) + 4
        if self._field_bytes > self._max_head_bytes:
            raise self._too_large()
        if self._framing is None:  # Else it's a trailer, and those are not passed on.
            pair = (name.decode("latin-1").lower(), value.decode("latin-1").rstrip(" \t"))
            self._pairs.append(pair)

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        self._raw = None
        status = self._parser.get_status_code()
        version = self._parser.get_http_version()
        pairs, self._pairs = self._pairs, []
        if version not in ("1.1", "1.0") or not 100 <= status <= 599:
            raise no_answer(f"its status line says HTTP/{version} and {status}")
        if status < 200:
            self._on_interim(status, pairs)
            return
        lengths = [value for name, value in pairs if name == "content-length"]
        codings = [value for name, value in pairs if name == "transfer-encoding"]
        framing = framing_of(self._method, status, version, lengths, codings)
        listed = [value.lower() for name, value in pairs if name == "connection"]
        options = [option.strip() for option in ",".join(listed).split(",")] if listed else []
        self._reusable = keeps_alive(version, options) and framing is not Framing.CLOSE
        if self._reusable:
            self._promised_s = promised_s([value for name, value in pairs if name == "keep-alive"])
        if framing is Framing.NONE:
            self._reusable = self._reusable and not may_trail(lengths, codings)
            self.complete = self._method == "HEAD"
        if status == 204:
            # It has none (RFC 9110 section 8.6), so nobody must be told to wait for one.
            pairs = [pair for pair in pairs if pair[0] != "content-length"]
        elif lengths and lengths[0] != str(int(lengths[0])):
            # Everybody after this compares it with the number of bytes that came.
            pairs = [
                (name, str(int(value)) if name == "content-length" else value)
                for name, value in pairs
            ]
        self.status = status
        self.headers = _end_to_end(pairs, options)
        self._framing = framing
        self._go()

    def on_body(self, data: bytes) -> None:
        self._chunks.append(data)
        self._buffered += len(data)
        self._progress = True

    def on_message_complete(self) -> None:
        if self._framing is not None:
            self.complete = True

    # --- the rest ---

    def _on_interim(self, status: int, pairs: list[tuple[str, str]]) -> None:
        if status == 101:
            raise no_answer("it switched to another protocol unasked")
        # RFC 9110 section 8.6, RFC 9112 section 6.1: it has neither. The parser would take what
        # follows for content of some, and put it before that of the answer.
        if any(name in ("content-length", "transfer-encoding") for name, _ in pairs):
            raise no_answer(f"its {status} announces content")
        if status == 100:
            # Who waits for it is told so when the body is read.
            self._told = True
            self._go()
        elif self._interim is not None:
            self._interim(status, Headers.trusted(tuple(pairs)).end_to_end())

    def _parse(self, parser: httptools.HttpResponseParser, data: bytes) -> None:
        """Feed the parser; a first head that it refuses is mended, and fed once more."""
        try:
            if self._held is None:
                parser.feed_data(data)
            else:
                self._feed_heads(parser, data)
            return
        except httptools.HttpParserError:
            raw, self._raw = self._raw, None
            if raw is None or not is_mendable(raw):
                raise
        self._mending = True
        self._held = bytearray()
        self._pairs = []
        self._field_bytes = 0
        self._parser = parser = httptools.HttpResponseParser(self)
        self._feed_heads(parser, raw)

    def _go(self) -> None:
        if self._going is not None and not self._going.done():
            self._going.set_result(None)

    def _feed_heads(self, parser: httptools.HttpResponseParser, data: bytes) -> None:
        # The parser would wait for the body that an answer to HEAD announces and does not have.
        held = self._held
        assert held is not None
        held += data
        while (end := held.find(b"\r\n\r\n")) >= 0 and not self.complete:
            part = bytes(held[: end + 4])
            del held[: end + 4]
            if self._mending:
                part = mended(part) or part
            self._mending = False
            parser.feed_data(part)
            if self._method != "HEAD":
                self._held = None
                parser.feed_data(bytes(held))
                return
        self.excess = self.complete and bool(held)

    def _count(self, size: int) -> bool:
        """Count what brought no byte of a body: head, chunk extensions, trailers."""
        self._fed_bytes += size
        if self._fed_bytes <= self._max_head_bytes:
            return True
        self.fail(self._too_large())
        return False

    def _too_large(self) -> HopError:
        limit = self._max_head_bytes
        if self._framing is None:
            return no_answer(f"its head is over {limit} bytes")
        return broken_off(f"trailers or chunk extensions are over {limit} bytes")

    def _broken(self, error: Exception) -> Exception:
        # An error raised in one of the parser's callbacks comes back as the context of its own.
        cause = error.__context__
        if isinstance(cause, Exception):
            return cause
        return broken_off(error) if self._framing is not None else no_answer(error)

    def _end(self) -> None:
        self._parser = None
        if self._paused:
            self._paused = False
            self._carrier.resume()
        self._carrier.done(reusable=self._reusable and not self.excess, promised_s=self._promised_s)

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def _wait(self) -> None:
        assert self._waiter is None, "an answer has one reader"
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        except asyncio.CancelledError:
            self.fail(broken_off("it was given up by its reader"))
            raise
        finally:
            self._waiter = None


def _end_to_end(pairs: list[tuple[str, str]], options: list[str]) -> Headers:
    """The fields without those of the connection (RFC 9110 section 7.6.1)."""
    dropped = HOP_BY_HOP.union(options) if options else HOP_BY_HOP
    return Headers.trusted(tuple([pair for pair in pairs if pair[0] not in dropped]))
