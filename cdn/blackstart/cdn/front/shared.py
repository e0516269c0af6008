"""What all connections of one front share: the node, the limits, who is connected, the tick."""

from __future__ import annotations

from collections import Counter
from email.utils import formatdate
from math import ceil
from typing import TYPE_CHECKING, Protocol

from blackstart.cdn.front.access_log import AccessLog
from blackstart.cdn.front.limits import Limits
from blackstart.cdn.front.trust import TrustedPeers
from blackstart.cdn.message import Request, Response
from blackstart.clock import Clock

if TYPE_CHECKING:
    from blackstart.cdn.front.connection import Connection


class Handler(Protocol):
    """What answers: a node."""

    def quick(self, request: Request) -> Response | None:
        """The answer, when it can be had without waiting: a fresh hit from memory."""
        ...

    async def answer(self, request: Request) -> Response:
        """The answer, however long it takes; never raises."""
        ...


class Dates:
    """The Date field's line, made once a second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._second = -1
        self._line = b""

    def line(self) -> bytes:
        second = int(self._clock.time())
        if second != self._second:
            self._second = second
            self._line = f"date: {formatdate(second, usegmt=True)}\r\n".encode()
        return self._line


class Shared:
    """One for each front. Timeouts are counted in ticks, so that no request sets a timer."""

    def __init__(
        self,
        handler: Handler,
        clock: Clock,
        limits: Limits,
        trusted: TrustedPeers,
        access_log: AccessLog | None,
    ) -> None:
        self.handler = handler
        self.limits = limits
        self.trusted = trusted
        self.access_log = access_log
        self.dates = Dates(clock)
        self.time = clock.time
        self.connections: set[Connection] = set()
        self.clients: Counter[str] = Counter()
        self.draining = False
        self.tick = 0
        self.header_ticks = ceil(limits.header_timeout_s / limits.tick_s)
        self.idle_ticks = ceil(limits.idle_timeout_s / limits.tick_s)
        self.progress_ticks = ceil(limits.progress_timeout_s / limits.tick_s)
        self.linger_ticks = ceil(limits.linger_s / limits.tick_s)

    def next_tick(self) -> None:
        """Let time pass for every connection, and write the access log."""
        self.tick += 1
        for connection in list(self.connections):
            if connection.due is not None and connection.due < self.tick:
                connection.overdue()
        if self.access_log is not None:
            self.access_log.flush()
