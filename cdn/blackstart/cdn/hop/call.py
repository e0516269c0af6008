"""The hop to an application in this process: what a drill uses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote

from blackstart.cdn.hop.asking import REWRITTEN
from blackstart.cdn.message import Headers, Request, Response, whole_body
from blackstart.clock import Clock
from blackstart.errors import HopError

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
AsgiCallable = Callable[[Scope, Receive, Send], Awaitable[None]]


class AsgiHop:
    """An ASGI application called in this process, `latency_s()` seconds of `clock` away.

    An application that raises anything but a `HopError` has a bug, which
    surfaces here as it is: a drill must not mistake it for an incident.
    """

    def __init__(self, app: AsgiCallable, clock: Clock, latency_s: Callable[[], float]) -> None:
        self._app = app
        self._clock = clock
        self._latency_s = latency_s

    async def send(self, request: Request) -> Response:
        await self._clock.sleep(self._latency_s())
        body = await whole_body(request.body)
        exchange = _Exchange(body)
        await self._app(_scope(request, len(body)), exchange.receive, exchange.send)
        return exchange.response()

    async def close(self) -> None:
        """Nothing to free: the application belongs to whoever made it."""


class _Exchange:
    """One ASGI exchange: hands out the request's body, gathers the response."""

    __slots__ = ("_body", "_chunks", "_complete", "_raw_headers", "_status", "_taken")

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._taken = False
        self._status = 0
        self._raw_headers: list[tuple[bytes, bytes]] = []
        self._chunks: list[bytes] = []
        self._complete = False

    async def receive(self) -> Event:
        if self._taken:
            return {"type": "http.disconnect"}
        self._taken = True
        return {"type": "http.request", "body": self._body, "more_body": False}

    async def send(self, event: Event) -> None:
        if event["type"] == "http.response.start":
            self._status = event["status"]
            self._raw_headers = event.get("headers", [])
        elif event["type"] == "http.response.body":
            self._chunks.append(event.get("body", b""))
            self._complete = not event.get("more_body", False)

    def response(self) -> Response:
        if not self._complete or not self._status:
            raise HopError("the origin broke off its answer")
        body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        headers = Headers.from_raw(self._raw_headers)
        return Response(self._status, headers.end_to_end(), body)


def _scope(request: Request, body_bytes: int) -> Scope:
    path, _, query = request.target.partition("?")
    raw = request.headers.end_to_end().without(REWRITTEN).raw()
    raw.insert(0, (b"host", request.host.encode("latin-1")))
    if body_bytes:
        raw.append((b"content-length", str(body_bytes).encode()))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": unquote(path) if "%" in path else path,
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "headers": raw,
        "client": None,
        "server": None,
    }
