"""The connections to one origin: a bounded number, kept alive for the next request."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque

from blackstart.cdn.hop.address import Address
from blackstart.cdn.hop.connection import Connection, Limits
from blackstart.cdn.hop.failures import crowded, unreachable


class Pool:
    """Hands out connections: the one that was used last, else a new one, else wait in order.

    The last used is the likeliest to be alive, and those that aren't needed any more expire.
    """

    def __init__(self, origin: Address, limits: Limits, tls: ssl.SSLContext | None = None) -> None:
        self._origin = origin
        self._limits = limits
        self._tls = tls
        self._idle: deque[Connection] = deque()
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._sockets: set[Connection] = set()
        self._used: set[Connection] = set()
        self._connecting = 0
        self._emptied: asyncio.Future[None] | None = None
        self._closed = False

    @property
    def idle(self) -> int:
        """Connections that wait for a request."""
        return len(self._idle)

    @property
    def open(self) -> int:
        """Connections that count towards the limit."""
        return len(self._used) + self._connecting

    def take_idle(self) -> Connection | None:
        """The idle connection that was used last, or None."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_quiet():
                return connection
            connection.abort()
        return None

    async def take(self, *, fresh: bool = False) -> Connection:
        """A connection for one exchange; `fresh`: rather a new one than an idle one.

        Raises: UnreachableError when there is none within the time to connect.
        """
        if self._closed:
            raise unreachable("the hop is closed")
        idle = None if fresh else self.take_idle()
        if idle is not None:
            return idle
        limit_s = self._limits.connect_s
        try:
            async with asyncio.timeout(limit_s):
                return await self._take()
        except TimeoutError as error:
            if self.open >= self._limits.connections and not self._connecting:
                number = self._limits.connections
                raise crowded(f"all {number} connections were in use for {limit_s:g} s") from error
            raise unreachable(f"no connection within {limit_s:g} s") from error

    async def close(self) -> None:
        """Close every connection; returns when their sockets are closed."""
        self._closed = True
        for connection in list(self._sockets):
            connection.close("the hop was closed")
        if self._sockets:
            self._emptied = asyncio.get_running_loop().create_future()
            await self._emptied

    # --- for the connections ---

    def made(self, connection: Connection) -> None:
        self._sockets.add(connection)

    def give_back(self, connection: Connection) -> None:
        if self._closed:
            connection.abort()
        elif not self._hand_on(connection):
            self._idle.append(connection)

    def forget(self, connection: Connection) -> None:
        if connection not in self._used:
            return
        self._used.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._free_place()

    def gone(self, connection: Connection) -> None:
        self._sockets.discard(connection)
        if self._emptied is not None and not self._sockets and not self._emptied.done():
            self._emptied.set_result(None)

    # --- the rest ---

    async def _take(self) -> Connection:
        if self.open >= self._limits.connections and self._idle:
            # A new one is wanted and there's no place: the one idle for longest makes it.
            self._idle[0].abort()
        while self.open >= self._limits.connections:
            handed = await self._wait()
            if handed is None:
                return await self._connect()
            if handed.usable and handed.is_quiet():
                return handed
            handed.abort()
        self._connecting += 1
        return await self._connect()

    async def _wait(self) -> Connection | None:
        """A connection that was given back, or None: a place for a new one, already counted."""
        future: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._return(future.result())
            raise

    def _return(self, handed: Connection | None) -> None:
        """Take back what was handed to one who no longer waits."""
        if handed is None:
            self._connecting -= 1
            self._free_place()
        elif handed.usable:
            self.give_back(handed)

    async def _connect(self) -> Connection:
        """A new connection, in a place that is counted in `_connecting`."""
        origin = self._origin
        connected = False
        try:
            if self._closed:
                raise unreachable("the hop is closed")
            if origin.tls and self._tls is None:
                self._tls = ssl.create_default_context()
                self._tls.set_alpn_protocols(["http/1.1"])
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: Connection(self, self._limits),
                origin.host,
                origin.port,
                ssl=self._tls if origin.tls else None,
                server_hostname=origin.host if origin.tls else None,
            )
            if self._closed:
                connection.abort()
            connected = connection.usable
        except TimeoutError:
            raise
        except (OSError, ssl.SSLError) as error:
            raise unreachable(error) from error
        finally:
            self._connecting -= 1
            if connected:
                self._used.add(connection)
            else:
                self._free_place()
        if not connected:
            raise unreachable("the connection was closed at once")
        return connection

    def _hand_on(self, connection: Connection) -> bool:
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(connection)
                return True
        return False

    def _free_place(self) -> None:
        while self._waiting and self.open < self._limits.connections:
            future = self._waiting.popleft()
            if not future.done():
                self._connecting += 1
                future.set_result(None)
