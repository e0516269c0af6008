"""Open connections of a server: how many there may be, and a clean end for all of them."""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from blackstart.wire.limits import LIMITS, WireLimits
from blackstart.wire.stream import FrameStream

_BACKLOG = 512


@dataclass(frozen=True)
class Peer:
    """Whose connection it is: a number that no other connection of the server has."""

    number: int
    address: str


Serve = Callable[[Peer, FrameStream], Awaitable[None]]


class Connections:
    """Accepts connections and runs `serve` for each; what is over the limit is closed at once.

    With `strangers_make_room` the oldest connection of nobody known is closed for it instead:
    whoever knows how to log in does so soon, and a flood of those who do not keeps nobody out.
    """

    def __init__(
        self,
        serve: Serve,
        *,
        max_connections: int,
        limits: WireLimits = LIMITS,
        tls: ssl.SSLContext | None = None,
        strangers_make_room: bool = False,
    ) -> None:
        self._serve = serve
        self._strangers_make_room = strangers_make_room
        self._limits = limits
        self._max_connections = max_connections
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._tasks: dict[asyncio.Task[None], FrameStream] = {}
        self._peers = itertools.count(1)

    def __len__(self) -> int:
        return len(self._tasks)

    async def start(self, sock: socket.socket) -> None:
        """Accept connections on a bound socket, which is now owned here."""
        self._server = await asyncio.get_running_loop().create_server(
            lambda: FrameStream(self._limits, opened=self._connected),
            sock=sock,
            backlog=_BACKLOG,
            ssl=self._tls,
        )

    async def stop(self) -> None:
        """Accept no more, and end all connections where they stand."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    async def run(self, sock: socket.socket, ready: Callable[[], object] | None = None) -> None:
        """Accept until cancelled; then stop."""
        await self.start(sock)
        try:
            if ready is not None:
                ready()
            await asyncio.get_running_loop().create_future()
        finally:
            await self.stop()

    def _connected(self, stream: FrameStream) -> None:
        is_full = len(self._tasks) >= self._max_connections
        if self._server is None or (is_full and not self._make_room()):
            stream.abort()
            return
        task = asyncio.get_running_loop().create_task(self._one(stream))
        self._tasks[task] = stream
        task.add_done_callback(self._tasks.pop)

    def _make_room(self) -> bool:
        if self._strangers_make_room:
            for task, stream in self._tasks.items():
                if not stream.is_known and not stream.is_gone:
                    stream.abort()
                    task.cancel()
                    return True
        return False

    async def _one(self, stream: FrameStream) -> None:
        try:
            await self._serve(Peer(next(self._peers), stream.peer), stream)
        except (ConnectionError, asyncio.CancelledError):
            # The peer is gone, or the server ends: either way there is nobody to tell.
            pass
        finally:
            stream.abort()
            await stream.wait_closed()
