"""The front as a whole: it listens, lets time pass for its connections, and drains at the end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from blackstart.cdn.front.access_log import AccessLog
from blackstart.cdn.front.connection import Connection
from blackstart.cdn.front.limits import Limits
from blackstart.cdn.front.shared import Handler, Shared
from blackstart.cdn.front.trust import TrustedPeers
from blackstart.clock import Clock

_BACKLOG = 2048
_LOOK_S = 0.05


class Front:
    """Serves a node over HTTP/1.1. It runs on the wall's clock, best on uvloop."""

    def __init__(
        self,
        handler: Handler,
        clock: Clock,
        *,
        limits: Limits | None = None,
        trusted: TrustedPeers | None = None,
        access_log: AccessLog | None = None,
    ) -> None:
        self._clock = clock
        self._limits = limits or Limits()
        self._access_log = access_log
        self._shared = Shared(
            handler, clock, self._limits, trusted or TrustedPeers(), self._access_log
        )
        self._servers: list[asyncio.Server] = []
        self._ticking: object | None = None

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._shared.connections)

    async def start(self, sock: socket.socket) -> None:
        """Accept connections on a bound socket, which the front now owns."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: Connection(self._shared), sock=sock, backlog=_BACKLOG
        )
        self._servers.append(server)
        if self._ticking is None:
            self._ticking = self._clock.spawn("front ticks", self._tick())

    async def drain(self, grace_s: float) -> None:
        """Accept no more, let answers under way go out, and end what is left after `grace_s`.

        Idle connections end at once; the others with their answer, which says
        `Connection: close`.
        """
        for server in self._servers:
            server.close()
        self._servers.clear()
        self._shared.draining = True
        for connection in list(self._shared.connections):
            connection.drain()
        left_s = grace_s
        while self._shared.connections and left_s > 0:
            await self._clock.sleep(min(_LOOK_S, left_s))
            left_s -= _LOOK_S
        for connection in list(self._shared.connections):
            connection.abort()
        if self._ticking is not None:
            await self._clock.kill(self._ticking)
            self._ticking = None
        if self._access_log is not None:
            self._access_log.flush()

    async def run(
        self, sock: socket.socket, grace_s: float, ready: Callable[[], object] | None = None
    ) -> None:
        """Serve until cancelled, as SIGTERM does through `service.run`; then drain."""
        await self.start(sock)
        try:
            if ready is not None:
                ready()
            await asyncio.get_running_loop().create_future()
        finally:
            await self.drain(grace_s)

    async def _tick(self) -> None:
        while True:
            await self._clock.sleep(self._limits.tick_s)
            self._shared.next_tick()
