"""One client's connection: takes requests apart, has them answered one after the other."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from functools import partial
from typing import cast

import structlog

from blackstart.cdn.front.exchange import Exchange
from blackstart.cdn.front.incoming import Incoming
from blackstart.cdn.front.proxy_header import read_proxy_header
from blackstart.cdn.front.refusal import Refusal
from blackstart.cdn.front.requests import Head, read_head, refuse_unfinished
from blackstart.cdn.front.shared import Shared
from blackstart.cdn.front.trust import plain_address
from blackstart.cdn.front.writing import (
    CONTINUE,
    BadAnswer,
    Ending,
    ending_of,
    interim,
    start_line_and_fields,
)
from blackstart.cdn.message import Headers, Request, Response
from blackstart.errors import UsageError

log = structlog.get_logger(__name__)

_KEPT_BYTES = 64 * 1024
# Requests in one read that are answered before other connections have their turn.
_ANSWERS_A_TURN = 32
# So many clients beyond the limit are told, and may read why; each holds a socket meanwhile.
_TOLD_WHY = 64
_JOINED_BYTES = 64 * 1024
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Connection(asyncio.Protocol):
    """A state machine over bytes.

    What comes while an answer is under way is kept, unread, so answers go out
    in the order of their requests and nobody makes us hold many. `due` is the
    tick after which `overdue` is called.
    """

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.due: int | None = None
        self.write_paused = False
        self._transport: asyncio.Transport = None  # type: ignore[assignment]
        self._client: str | None = None
        self._counted: str | None = None
        self._input = b""
        self._exchange: Exchange | None = None
        self._incoming: Incoming | None = None
        self._serial = 0
        self._awaits_proxy_header = False
        self._reads_head = False
        self._read_paused = False
        self._ending = False  # Nothing more is read as a request.
        self._moved_bytes = 0
        self._unsent_bytes = 0
        self._writer: asyncio.Future[None] | None = None

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        shared = self.shared
        self._transport = cast(asyncio.Transport, transport)
        shared.connections.add(self)
        self.due = shared.tick + shared.header_ticks
        peer = transport.get_extra_info("peername")
        address = plain_address(peer[0]) if isinstance(peer, tuple) else None
        self._awaits_proxy_header = shared.trusted.proxy_protocol and shared.trusted.trusts(address)
        beyond = len(shared.connections) - shared.limits.connections
        try:
            if beyond > _TOLD_WHY:
                self.abort()
                return
            if beyond > 0:
                raise Refusal(503, "there are too many connections")
            self._has_client(address)
        except Refusal as refusal:
            self._refuse(refusal)

    def data_received(self, data: bytes) -> None:
        if self._ending:
            return
        self._moved_bytes += len(data)
        if self._input:
            data = self._input + data
            self._input = b""
        self._consume(data)

    def eof_received(self) -> bool:
        # A client that shuts its side while it waits is taken as gone, as nginx does.
        self._give_up()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.shared.connections.discard(self)
        self.due = None
        if self._counted is not None:
            self.shared.clients[self._counted] -= 1
            if not self.shared.clients[self._counted]:
                del self.shared.clients[self._counted]
        self._give_up()

    def pause_writing(self) -> None:
        self.write_paused = True
        self._arm_progress()

    def resume_writing(self) -> None:
        self.write_paused = False
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)
        if self._exchange is None:
            self._go_on()

    # What an exchange calls.

    def write(self, start: bytes, body: bytes = b"") -> None:
        if len(body) > _JOINED_BYTES:
            self._transport.writelines([start, body])
        else:
            self._transport.write(start + body if body else start)

    async def writable(self) -> None:
        """Wait until the client has taken most of what was written."""
        while self.write_paused:
            self._writer = asyncio.get_running_loop().create_future()
            await self._writer

    def must_close(self, head: Head, incoming: Incoming | None) -> bool:
        """Whether an answer that begins now is the last one on this connection."""
        unread = incoming is not None and not incoming.complete and not incoming.is_short
        return unread or not head.keep_alive or self.shared.draining

    def ended(self, exchange: Exchange, complete: bool) -> None:
        """An exchange is over; unless its answer is complete, the connection is reset."""
        if exchange is not self._exchange:
            return
        self._exchange = None
        if not complete:
            self.abort()
        elif exchange.closes or self.shared.draining:
            self._end(unread=self._incoming is not None)
        else:
            if self._incoming is not None:
                self._incoming.discard()
                self._arm_progress()
            else:
                self._arm_idle()
            self._go_on()

    def note(
        self, head: Head, request: Request, response: Response, sent_bytes: int, began_at: float
    ) -> None:
        """Tell the access log."""
        if self.shared.access_log is not None:
            self.shared.access_log.answered(
                request.client,
                head.method,
                request.host,
                request.target,
                response,
                sent_bytes,
                began_at,
            )

    # What a body on its way in calls.

    def reconsider_reading(self) -> None:
        """Stop or go on taking bytes from the socket."""
        full = len(self._input) > _KEPT_BYTES or (
            self._incoming is not None and self._incoming.is_full
        )
        if full == self._read_paused or self._transport.is_closing():
            return
        self._read_paused = full
        if full:
            self._transport.pause_reading()
        else:
            self._moved_bytes = 0
            self._transport.resume_reading()

    def send_continue(self) -> None:
        if self._exchange is not None and not self._exchange.started:
            self._transport.write(CONTINUE)

    # What the server calls.

    def drain(self) -> None:
        """End as soon as no request is under way."""
        if self._exchange is None and not self._reads_head and not self._input:
            self._end(unread=False)

    def abort(self) -> None:
        """End with a reset, which no client takes for the end of a body."""
        self._ending = True
        sock = self._transport.get_extra_info("socket")
        if sock is not None and not self._transport.is_closing():
            with contextlib.suppress(OSError), socket.socket(fileno=socket.dup(sock.fileno())) as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()

    def overdue(self) -> None:
        """The client's time is up: close, refuse, or see that it does move."""
        unsent_bytes = self._transport.get_write_buffer_size()
        if unsent_bytes:
            taken = self._unsent_bytes - unsent_bytes
            if self._unsent_bytes and taken < self.shared.limits.progress_bytes:
                self.abort()
            else:
                self._unsent_bytes = unsent_bytes
                self.due = self.shared.tick + self.shared.progress_ticks
        elif self._ending:
            self.abort()
        elif self._incoming is not None:
            if not self._read_paused and self._moved_bytes < self.shared.limits.progress_bytes:
                self._refuse(Refusal(408, "the body came too slowly"))
            else:
                self._arm_progress()
        elif self._exchange is not None:
            self.due = None
        elif self._reads_head:
            self._refuse(Refusal(408, "the header fields came too slowly"))
        else:
            self._end(unread=False)

    # The reading of requests.

    def _consume(self, data: bytes) -> None:
        try:
            at = self._skip_proxy_header(data) if self._awaits_proxy_header else 0
            if self._incoming is not None:
                rest = self._incoming.feed(data)
                if rest is None:
                    self.reconsider_reading()
                    return
                self._incoming = None
                data = rest
                if self._exchange is None:
                    self._arm_idle()
            for _ in range(_ANSWERS_A_TURN):
                if at == len(data):
                    self._reads_head = False
                    return
                if self._exchange is not None or self.write_paused:
                    break
                at = self._consume_request(data, at)
                if at < 0 or self._ending:
                    return
            else:
                asyncio.get_running_loop().call_soon(self._go_on)
            self._input = data[at:]
            self.reconsider_reading()
        except Refusal as refusal:
            self._refuse(refusal)

    def _consume_request(self, data: bytes, at: int) -> int:
        """Take one request; returns where it ends, -1 when it isn't all there. Raises: Refusal."""
        limits = self.shared.limits
        while data.startswith(b"\r\n", at):  # RFC 9112 section 2.2 has us pass these over.
            at += 2
        end = data.find(b"\r\n\r\n", at, at + limits.head_bytes) + 4
        if end < 4:
            refuse_unfinished(data[at : at + limits.head_bytes + 1], limits)
            self._input = data[at:]
            if not self._reads_head:
                self._reads_head = True
                self.due = self.shared.tick + self.shared.header_ticks
            return -1
        self._reads_head = False
        head = read_head(data[at:end], limits)
        if not head.length:
            self._take(head)
            return end
        if head.length > limits.body_bytes:
            raise Refusal(413, f"a body may have {limits.body_bytes} bytes")
        incoming = Incoming(self, head.length, limits, expects=head.expects)
        rest = incoming.feed(data[end:]) if end < len(data) else None
        if rest is None:
            self._incoming = incoming
            self._arm_progress()
            end = len(data)
        else:
            end = len(data) - len(rest)
        self._take(head, incoming)
        self.reconsider_reading()
        return end

    def _take(self, head: Head, incoming: Incoming | None = None) -> None:
        client, scheme = self._client, "http"
        if head.forwarded:
            client, scheme = self.shared.trusted.visitor(client, scheme, head.forwarded)
        self._serial += 1
        request = Request(
            head.method,
            head.target,
            head.host,
            head.headers,
            b"" if incoming is None else incoming,
            scheme,
            client,
            "1.0" if head.is_1_0 else "1.1",
            None if head.is_1_0 else partial(self._interim, self._serial),
        )
        response = None
        if incoming is None:
            try:
                response = self.shared.handler.quick(request)
            except Exception:
                log.exception("the node failed", host=request.host)
            if response is not None and self._answered_now(head, request, response):
                return
            self.due = None
        self._exchange = Exchange(self, head, request, incoming, response)

    def _answered_now(self, head: Head, request: Request, response: Response) -> bool:
        """Send an answer whose body is at hand; False when that takes an exchange."""
        shared = self.shared
        body = response.body
        if not isinstance(body, bytes):
            return False
        close = shared.draining or not head.keep_alive
        try:
            ending = ending_of(response, head.method, head.is_1_0)
            start = start_line_and_fields(
                response, ending, close=close, is_1_0=head.is_1_0, dates=shared.dates
            )
        except BadAnswer:
            return False
        if ending is Ending.HEAD:
            body = b""
        self.write(start, body)
        self.due = shared.tick + shared.idle_ticks
        if shared.access_log is not None:
            self.note(head, request, response, len(body), shared.time())
        if close:
            self._end(unread=False)
        return True

    def _interim(self, serial: int, status: int, headers: Headers) -> None:
        exchange = self._exchange
        if serial == self._serial and exchange is not None and not exchange.started:
            self._transport.write(interim(status, headers))

    def _go_on(self) -> None:
        """Take what was kept while something else was under way."""
        if self._input and self._exchange is None and not self._ending:
            data, self._input = self._input, b""
            self._consume(data)
        if not self._ending:
            self.reconsider_reading()

    def _skip_proxy_header(self, data: bytes) -> int:
        read = read_proxy_header(data)
        if read is None:
            self._input = data
            self._reads_head = True
            return len(data)
        address, end = read
        self._awaits_proxy_header = False
        self._reads_head = False
        if address is not None:
            self._has_client(address)
        return end

    def _has_client(self, address: str | None) -> None:
        """From now on the connection is this client's. Raises: Refusal when it has too many."""
        self._client = address
        if address is None or self.shared.trusted.trusts(address):
            return
        self._counted = address
        self.shared.clients[address] += 1
        if self.shared.clients[address] > self.shared.limits.connections_per_client:
            raise Refusal(503, "this client has too many connections")

    # Ends and times.

    def _refuse(self, refusal: Refusal) -> None:
        """Answer with the refusal and end; when an answer is on its way, end with a reset."""
        exchange, self._exchange = self._exchange, None
        if self._incoming is not None:
            self._incoming.fail(refusal)
        if exchange is not None:
            exchange.cancel()
            if exchange.started:
                self.abort()
                return
        response = refusal.response
        start = start_line_and_fields(
            response, Ending.LENGTH, close=True, is_1_0=False, dates=self.shared.dates
        )
        assert isinstance(response.body, bytes)
        self.write(start, response.body)
        if self.shared.access_log is not None:
            self.shared.access_log.answered(
                self._client, "", "", "", response, len(response.body), self.shared.time()
            )
        self._end(unread=True)

    def _end(self, *, unread: bool) -> None:
        """Close when all is written.

        While the client may still be sending, only our side is shut and what
        comes is thrown away: to close at once would reset the connection, and
        the client could lose our answer (RFC 9112 section 9.6).
        """
        self._ending = True
        self._input = b""
        self.due = self.shared.tick + self.shared.linger_ticks
        if self._transport.is_closing():
            return
        if not unread:
            self._transport.close()
            return
        if self._read_paused:
            self._read_paused = False
            self._transport.resume_reading()
        self._transport.write_eof()

    def _give_up(self) -> None:
        """The client is gone: so is its request."""
        if self._incoming is not None:
            self._incoming.fail(UsageError("the client left before its request was complete"))
        if self._exchange is not None:
            exchange, self._exchange = self._exchange, None
            exchange.cancel()

    def _arm_progress(self) -> None:
        self._moved_bytes = 0
        self._unsent_bytes = 0
        self.due = self.shared.tick + self.shared.progress_ticks

    def _arm_idle(self) -> None:
        self.due = self.shared.tick + self.shared.idle_ticks
