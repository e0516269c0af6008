"""A node behind any ASGI server or client: how a drill reaches it without sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import quote

from blackstart.cdn.app import NodeApp
from blackstart.cdn.hop.call import Receive, Scope, Send
from blackstart.cdn.message import Headers, Request, Response, close_body, plain


class CdnApp:
    """The node as an ASGI application. Serve it without the server's own Date and Server fields."""

    def __init__(self, app: NodeApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await _respond(await self._answer(scope, receive), send)
        else:
            await send({"type": "websocket.close", "code": 1003})

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        headers = Headers.from_raw(scope["headers"])
        host = headers.get("host")
        target = target_of(scope)
        if not host or not target.startswith("/"):
            return plain(400, "400 Bad Request: a Host header and an absolute path are needed")
        has_body = scope["method"] not in ("GET", "HEAD")
        body = _body(receive) if has_body else b""
        method, headers = scope["method"], headers.without({"host"})
        request = Request(method, target, host.lower(), headers, body)
        return self._app.quick(request) or await self._app.answer(request)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await self._app.node.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._app.node.close()
        await send({"type": "lifespan.shutdown.complete"})


def target_of(scope: Scope) -> str:
    """The path and query as the visitor wrote them."""
    raw_path: bytes | None = scope.get("raw_path")
    path = raw_path.decode("latin-1") if raw_path else quote(scope["path"])
    query: bytes = scope["query_string"]
    return f"{path}?{query.decode('latin-1')}" if query else path


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        event = await receive()
        if event.get("body"):
            yield event["body"]
        more = event.get("more_body", False)


async def _respond(response: Response, send: Send) -> None:
    body = response.body
    start = {
        "type": "http.response.start",
        "status": response.status,
        "headers": response.headers.raw(),
    }
    if isinstance(body, bytes):
        await send(start)
        await send({"type": "http.response.body", "body": body})
        return
    try:
        await send(start)
        async for chunk in body:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        await close_body(body)
