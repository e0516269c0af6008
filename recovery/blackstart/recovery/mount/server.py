"""A snapshot as a MongoDB that anybody can look into: read-only, straight from the bucket."""

from __future__ import annotations

import socket
from collections.abc import Callable

from blackstart.clock import Clock
from blackstart.recovery.mount.commands import Commands
from blackstart.recovery.mount.source import Source
from blackstart.seed import Seed
from blackstart.wire import Handler, Peer, WireServer

MAX_CONNECTIONS = 200


class Mount:
    """One mounted snapshot. Ready at once: documents are read when they are asked for."""

    def __init__(
        self,
        source: Source,
        database: str,
        *,
        clock: Clock,
        seed: Seed,
        name: str = "the snapshot",
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        self.commands = Commands(source, database, clock, seed, name=name)
        self._server = WireServer(self._handler_for, max_connections=max_connections)
        self.commands.count_peers_by(lambda: self._server.connections)

    async def start(self, sock: socket.socket) -> None:
        """Accept connections on a bound socket, which the mount now owns."""
        await self._server.start(sock)

    async def stop(self) -> None:
        """End all connections."""
        await self._server.stop()

    async def run(self, sock: socket.socket, ready: Callable[[], object] | None = None) -> None:
        """Serve until cancelled."""
        await self._server.run(sock, ready)

    def _handler_for(self, peer: Peer) -> Handler:
        return lambda message: self.commands.answer(message, peer)
