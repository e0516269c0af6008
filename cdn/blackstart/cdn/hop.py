"""The hop to the origin as an object: a socket in production, a function call in a drill."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol
from urllib.parse import unquote

import aiohttp
import yarl

from blackstart.cdn.message import Headers, Request, Response, whole_body
from blackstart.clock import Clock
from blackstart.errors import HopError

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
AsgiCallable = Callable[[Scope, Receive, Send], Awaitable[None]]

# Fields that the hop writes itself, or that only concern the visitor's connection.
_REWRITTEN = frozenset({"host", "content-length", "expect"})
_FAILURES = (aiohttp.ClientError, TimeoutError, OSError)


class Hop(Protocol):
    """The way to the next server."""

    async def send(self, request: Request) -> Response:
        """Pass a request on and return the answer as it came: no redirect followed, no decoding.

        Raises: HopError when there is no answer.
        """
        ...

    async def close(self) -> None:
        """Free what the hop holds."""
        ...


class SocketHop:
    """The origin over HTTP/1.1. Bodies stream; a body that breaks off raises HopError."""

    def __init__(
        self,
        origin_url: str,
        *,
        connect_timeout_s: float = 2.0,
        read_timeout_s: float = 30.0,
        max_connections: int = 256,
    ) -> None:
        self._origin_url = origin_url.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(
            total=None,
            connect=connect_timeout_s,
            sock_connect=connect_timeout_s,
            sock_read=read_timeout_s,
        )
        self._max_connections = max_connections
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: Request) -> Response:
        headers = request.headers.end_to_end().without(_REWRITTEN)
        try:
            answer = await self._open().request(
                request.method,
                yarl.URL(self._origin_url + request.target, encoded=True),
                headers=[("host", request.host), *headers],
                data=request.body or None,
                allow_redirects=False,
            )
        except _FAILURES as error:
            raise _no_answer(error) from error
        return Response(
            answer.status, Headers.from_raw(answer.raw_headers).end_to_end(), SocketBody(answer)
        )

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        # A session belongs to the running event loop, so it can't be made any earlier.
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._max_connections),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=self._timeout,
                auto_decompress=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            )
        return self._session


class SocketBody:
    """A body as it arrives; its connection is freed at the end, or by `aclose`."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    def __aiter__(self) -> SocketBody:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = await self._answer.content.readany()
        except _FAILURES as error:
            self._answer.close()
            raise _no_answer(error) from error
        if not chunk:
            self._answer.release()
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        self._answer.close()


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
    raw = request.headers.end_to_end().without(_REWRITTEN).raw()
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


def _no_answer(error: BaseException) -> HopError:
    return HopError(
        f"the origin gave no answer: {error or type(error).__name__}",
        hint="is it running, and is BLACKSTART_ORIGIN_URL right?",
    )
