"""The guard as a server: a port that looks like the database, and is not."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable

from blackstart.clock import Clock
from blackstart.guard.logins import Logins
from blackstart.guard.proxy.asked import Gate
from blackstart.guard.proxy.connection import Connection, House
from blackstart.guard.proxy.greeting import Greeting
from blackstart.guard.proxy.own import OwnCommands
from blackstart.guard.proxy.owners import Cursors
from blackstart.guard.proxy.upstream import Upstream
from blackstart.wire import Connections, FrameStream, Peer

MAX_CONNECTIONS = 2_000


class Proxy:
    """Serves MongoDB's protocol on one socket, with the database behind `upstream`."""

    def __init__(
        self,
        upstream: Upstream,
        logins: Logins,
        gate: Gate,
        clock: Clock,
        *,
        address: str,
        cursors: Cursors | None = None,
        own: OwnCommands | None = None,
        max_connections: int = MAX_CONNECTIONS,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`address` is where clients reach the guard, as HOST:PORT."""
        self._greeting = Greeting(upstream, clock, address)
        self.cursors = Cursors() if cursors is None else cursors
        self._house = House(upstream, self._greeting, logins, gate, self.cursors, own)
        self._connections = Connections(
            self._serve,
            max_connections=max_connections,
            limits=self._house.limits,
            tls=tls,
            strangers_make_room=True,
        )

    def __len__(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    async def start(self, sock: socket.socket) -> None:
        await self._connections.start(sock)

    async def stop(self) -> None:
        await self._connections.stop()
        await self._greeting.close()

    async def run(self, sock: socket.socket, ready: Callable[[], object] | None = None) -> None:
        """Serve until cancelled."""
        try:
            await self._connections.run(sock, ready)
        finally:
            await self._greeting.close()

    async def _serve(self, peer: Peer, stream: FrameStream) -> None:
        await Connection(self._house, peer, stream).serve()
