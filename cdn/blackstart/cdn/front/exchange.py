"""One request that takes its time: a task asks the node and sends the answer as it comes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from blackstart.cdn.front.incoming import Incoming
from blackstart.cdn.front.requests import Head
from blackstart.cdn.front.writing import (
    LAST_CHUNK,
    BadAnswer,
    Ending,
    chunk,
    declared_length,
    ending_of,
    start_line_and_fields,
)
from blackstart.cdn.message import Request, Response, close_body, plain
from blackstart.errors import BlackstartError

if TYPE_CHECKING:
    from blackstart.cdn.front.connection import Connection

log = structlog.get_logger(__name__)

# What nginx logs when the client left before its answer began.
CLIENT_GONE = Response(499)


class Exchange:
    """A request and its answer. `response` is there already when only its body takes time."""

    def __init__(
        self,
        connection: Connection,
        head: Head,
        request: Request,
        incoming: Incoming | None,
        response: Response | None,
    ) -> None:
        self.incoming = incoming
        self.started = False
        self.closes = False
        self._connection = connection
        self._head = head
        self._request = request
        self._response = response
        self._sent_bytes = 0
        self._began_at = connection.shared.time()
        self._task = asyncio.get_running_loop().create_task(self._run())

    def cancel(self) -> None:
        """The client left, or is refused: end the node's work for it."""
        self._task.cancel()

    async def _run(self) -> None:
        complete = False
        try:
            response = self._response
            if response is None:
                response = self._response = await self._answer()
            try:
                complete = await self._send(response)
            finally:
                if not complete or self._head.method == "HEAD":
                    await close_body(response.body)
        except asyncio.CancelledError:
            # Whoever cancelled it takes care of the connection.
            raise
        except Exception as error:
            reason = str(error) if isinstance(error, BlackstartError | BadAnswer) else repr(error)
            log.warning("answer broken off", host=self._request.host, error=reason)
        finally:
            self._note()
            self._connection.ended(self, complete)

    async def _answer(self) -> Response:
        try:
            return await self._connection.shared.handler.answer(self._request)
        except Exception:
            log.exception("the node failed", host=self._request.host)
            return plain(500, "500 Internal Server Error: the node failed")

    async def _send(self, response: Response) -> bool:
        """Send it all; False when its end could not be sent."""
        head = self._head
        body = response.body
        connection = self._connection
        try:
            ending = ending_of(response, head.method, head.is_1_0)
            self.closes = ending is Ending.CLOSE or connection.must_close(head, self.incoming)
            start = start_line_and_fields(
                response,
                ending,
                close=self.closes,
                is_1_0=head.is_1_0,
                dates=connection.shared.dates,
            )
        except BadAnswer as error:
            log.error("bad answer", host=self._request.host, error=str(error))
            await close_body(body)
            self._response = plain(500, "500 Internal Server Error: the node failed")
            return await self._send(self._response)
        self.started = True
        if ending is Ending.HEAD:
            connection.write(start)
            await close_body(body)
        elif isinstance(body, bytes):
            connection.write(start, body)
            self._sent_bytes = len(body)
        else:
            connection.write(start)
            length = declared_length(response.headers.packed)
            await self._stream(response, ending, length)
        if connection.write_paused:
            await connection.writable()
        return True

    async def _stream(self, response: Response, ending: Ending, length: int | None) -> None:
        """Send the body as it comes. Raises: BadAnswer when it hasn't the length it said."""
        connection = self._connection
        assert not isinstance(response.body, bytes)
        async for piece in response.body:
            if not piece:
                continue
            self._sent_bytes += len(piece)
            if length is not None and self._sent_bytes > length:
                raise BadAnswer("a body longer than its Content-Length")
            connection.write(chunk(piece) if ending is Ending.CHUNKED else piece)
            del piece  # The client may be slow, or leave this frame to the garbage collector.
            if connection.write_paused:
                await connection.writable()
        if length is not None and self._sent_bytes != length:
            raise BadAnswer("a body shorter than its Content-Length")
        if ending is Ending.CHUNKED:
            connection.write(LAST_CHUNK)

    def _note(self) -> None:
        response = self._response if self.started and self._response else CLIENT_GONE
        self._connection.note(self._head, self._request, response, self._sent_bytes, self._began_at)
