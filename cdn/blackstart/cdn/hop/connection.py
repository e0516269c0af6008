"""One connection to the origin: one exchange at a time, and a deadline for each wait."""

from __future__ import annotations

import asyncio
import math
import select
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol, cast

from blackstart.cdn.hop.exchange import Exchange
from blackstart.cdn.hop.failures import broken_off, no_answer, timed_out
from blackstart.cdn.message import Headers

# A connection is left alone so long before the origin said that it will close it.
_MARGIN_S = 1.0

Story = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Limits:
    """What an origin is granted, in seconds and bytes.

    `first_byte_s` counts from the end of the request, `between_bytes_s` while
    the origin is waited for (not while the visitor is), `whole_s` from the
    start of the request to the end of the body, whoever is slow.
    """

    connect_s: float = 2.0
    first_byte_s: float = 30.0
    between_bytes_s: float = 30.0
    whole_s: float = math.inf
    idle_s: float = 4.0
    connections: int = 256
    head_bytes: int = 64 * 1024


class Owner(Protocol):
    """The pool that a connection belongs to."""

    def made(self, connection: Connection) -> None:
        """Its socket is open."""
        ...

    def give_back(self, connection: Connection) -> None:
        """It can take the next exchange."""
        ...

    def forget(self, connection: Connection) -> None:
        """It takes no further exchange; may be told more than once."""
        ...

    def gone(self, connection: Connection) -> None:
        """Its socket is closed."""
        ...


class Connection(asyncio.Protocol):
    """A socket to the origin, which hands what it reads to the exchange under way."""

    def __init__(self, owner: Owner, limits: Limits) -> None:
        self._owner = owner
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._upload: asyncio.Task[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._write_paused = False
        self._deadline = math.inf
        self._end_at = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._unread: select.poll | None = None
        self.usable = False
        self.rested_s = 0.0
        # The origin said that it would keep the connection for longer than the pool does.
        self.promised = False
        self._rests_from: float | None = None

    # --- for the hop ---

    def ask(
        self,
        data: bytes,
        method: str,
        interim: Callable[[int, Headers], None] | None,
    ) -> Exchange:
        """Write a request, and return the exchange that its answer arrives in."""
        assert self._exchange is None and self._transport is not None
        exchange = self._exchange = Exchange(self, method, interim, self._limits.head_bytes)
        now = self._loop.time()
        self.rested_s = 0.0 if self._rests_from is None else now - self._rests_from
        self._end_at = now + self._limits.whole_s
        self._watch(self._limits.first_byte_s)
        self._transport.write(data)
        return exchange

    def is_quiet(self) -> bool:
        """Whether nothing came that is still unread: it would be taken for the next answer."""
        return self._unread is None or not self._unread.poll(0)

    def upload(self, exchange: Exchange, story: Story) -> asyncio.Task[None]:
        """Run `story`, which writes the rest of the request, beside the answer.

        It ends with the exchange at the latest; what it raises is the exchange's failure.
        """
        self._watch(math.inf)
        upload = self._upload = self._loop.create_task(self._pass_on(exchange, story))
        return upload

    async def write(self, data: bytes) -> None:
        """Write a part of the request; waits while the origin takes no more."""
        if self._transport is None or not self.usable:
            return
        self._transport.write(data)
        if self._write_paused:
            self._watch(self._limits.between_bytes_s)
            self._writable = self._loop.create_future()
            await self._writable
            self._watch(math.inf)

    def close(self, reason: str) -> None:
        """Close the connection at once, and break off what is under way on it."""
        exchange = self._exchange
        if exchange is not None:
            exchange.fail(broken_off(reason) if exchange.head_came else no_answer(reason))
        self.abort()

    # --- for the exchange ---

    def pause(self) -> None:
        assert self._transport is not None
        self._transport.pause_reading()
        self._watch(math.inf)

    def resume(self) -> None:
        if self._transport is not None and self.usable:
            self._transport.resume_reading()
            self._watch(self._limits.between_bytes_s)

    def done(self, *, reusable: bool, promised_s: int | None) -> None:
        self._exchange = None
        self._end_at = math.inf
        idle_s = self._limits.idle_s
        self.promised = promised_s is not None
        if promised_s is not None:
            idle_s = min(idle_s, promised_s - _MARGIN_S)
        if not reusable or self._upload is not None or not self.usable or idle_s <= 0:
            self.abort()
            return
        self._rests_from = self._loop.time()
        self._watch(idle_s)
        self._owner.give_back(self)

    def abort(self) -> None:
        """Close the connection at once."""
        self.usable = False
        self._exchange = None
        self._end_at = math.inf
        self._watch(math.inf)
        self._release_writer()
        upload, self._upload = self._upload, None
        if upload is not None:
            upload.cancel()
        self._owner.forget(self)
        if self._transport is not None:
            self._transport.abort()

    # --- for the event loop ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not asyncio's by class.
        self._transport = cast("asyncio.Transport", transport)
        self.usable = True
        sock = transport.get_extra_info("socket")
        if sock is not None:
            self._unread = select.poll()
            self._unread.register(sock.fileno(), select.POLLIN)
        self._owner.made(self)

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            # Nothing was asked for: who knows whose answer this is.
            self.abort()
            return
        if self._upload is None:
            self._watch(self._limits.between_bytes_s)
        exchange.feed(data)

    def eof_received(self) -> None:
        if self._exchange is None:
            self.abort()
        else:
            self._exchange.eof()

    def connection_lost(self, error: Exception | None) -> None:
        exchange = self._exchange
        self._transport = None
        self._unread = None
        if exchange is not None:
            exchange.lost(error)
        self.abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._owner.gone(self)

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        self._release_writer()

    # --- the deadline ---

    def _watch(self, seconds: float) -> None:
        """Wait at most so long for what comes next."""
        deadline = self._deadline = min(self._loop.time() + seconds, self._end_at)
        # The timer is moved only when it would be late: setting one for each wait costs more.
        if deadline < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = deadline
            self._timer = self._loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at = math.inf
        now = self._loop.time()
        if now < self._deadline:
            if self._deadline < math.inf:
                self._watch(self._deadline - now)
            return
        exchange = self._exchange
        if exchange is None:
            self.abort()
        elif now >= self._end_at:
            reason = f"it took longer than {self._limits.whole_s:g} s in all"
            exchange.fail(timed_out(reason, head_came=exchange.head_came))
        elif exchange.head_came:
            reason = f"nothing came for {self._limits.between_bytes_s:g} s"
            exchange.fail(timed_out(reason, head_came=True))
        else:
            limits = self._limits
            begun = exchange.started or self._upload is not None
            limit_s = limits.between_bytes_s if begun else limits.first_byte_s
            exchange.fail(timed_out(f"nothing came for {limit_s:g} s", head_came=False))

    async def _pass_on(self, exchange: Exchange, story: Story) -> None:
        try:
            await story()
        except Exception as error:
            self._upload = None
            exchange.fail(error)
            return
        self._upload = None
        if self._exchange is exchange:
            limits = self._limits
            self._watch(limits.between_bytes_s if exchange.started else limits.first_byte_s)

    def _release_writer(self) -> None:
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)
