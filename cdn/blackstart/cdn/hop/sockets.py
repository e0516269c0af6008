"""The hop over sockets: HTTP/1.1 to the origin, as every node in production has it."""

from __future__ import annotations

import asyncio
import math
import ssl

from blackstart.cdn.hop.address import Address
from blackstart.cdn.hop.asking import IDEMPOTENT, head_of, upload
from blackstart.cdn.hop.connection import Connection, Limits
from blackstart.cdn.hop.exchange import Exchange
from blackstart.cdn.hop.failures import UnansweredError
from blackstart.cdn.hop.pool import Pool
from blackstart.cdn.message import Request, Response, is_held_back


class SocketHop:
    """The origin over HTTP/1.1, on connections that are kept for the next request.

    A small body that comes with its head is bytes; any other streams, and
    raises HopError when it breaks off. `read_timeout_s` is the longest silence
    of the origin; `first_byte_timeout_s` another one for the start of its answer.
    Connections are kept for `idle_timeout_s`, less than most origins do, and less than an
    origin says that it keeps them; where it says nothing, one may prove closed after
    `rest_s` without use, and the request goes to a fresh one.
    """

    def __init__(
        self,
        origin_url: str,
        *,
        connect_timeout_s: float = 2.0,
        read_timeout_s: float = 30.0,
        first_byte_timeout_s: float | None = None,
        whole_timeout_s: float = math.inf,
        idle_timeout_s: float = 4.0,
        rest_s: float = 1.0,
        max_connections: int = 256,
        max_head_bytes: int = 64 * 1024,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        limits = Limits(
            connect_s=connect_timeout_s,
            first_byte_s=read_timeout_s if first_byte_timeout_s is None else first_byte_timeout_s,
            between_bytes_s=read_timeout_s,
            whole_s=whole_timeout_s,
            idle_s=idle_timeout_s,
            connections=max_connections,
            head_bytes=max_head_bytes,
        )
        self._rest_s = rest_s
        origin = Address.from_url(origin_url)
        self._prefix = origin.prefix
        self.pool = Pool(origin, limits, tls)

    async def send(self, request: Request) -> Response:
        head, length = head_of(request, self._prefix)
        body = request.body
        if not isinstance(body, bytes):
            return await self._upload(request, head, length)
        data = head + body
        connection = self.pool.take_idle() or await self.pool.take()
        try:
            return await self._ask(connection, request, data)
        except UnansweredError:
            # A connection that rested may be closed by the origin just while it is taken. One that
            # was busy a moment ago, or was promised to live on, was closed because of this
            # request: asking again may do harm.
            rested = connection.rested_s > self._rest_s and not connection.promised
            if not rested or request.method not in IDEMPOTENT:
                raise
        return await self._ask(await self.pool.take(fresh=True), request, data)

    async def close(self) -> None:
        await self.pool.close()

    async def _ask(self, connection: Connection, request: Request, data: bytes) -> Response:
        exchange = connection.ask(data, request.method, request.interim)
        await exchange.head()
        return _response(exchange)

    async def _upload(self, request: Request, head: bytes, length: int | None) -> Response:
        connection = await self.pool.take()
        exchange = connection.ask(head, request.method, request.interim)
        held_back = is_held_back(request.body)

        async def story() -> None:
            if not held_back or await exchange.goes_on():
                await upload(request, length, connection.write)

        task = connection.upload(exchange, story)
        try:
            await exchange.head()
        finally:
            # The request's body belongs to whoever asked again as soon as this returns or raises,
            # unless its upload goes on beside the answer.
            if exchange.complete or not exchange.head_came:
                if not task.cancelling():  # A second time would cut the body's clean-up short.
                    task.cancel()
                await asyncio.wait([task])
        return _response(exchange)


def _response(exchange: Exchange) -> Response:
    body = exchange.take() if exchange.complete else exchange
    return Response(exchange.status, exchange.headers, body)
