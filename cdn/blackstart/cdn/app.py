"""A node as an ASGI application: visitors, and the node's own pages under `/.blackstart/`.

Serve it without the server's own Date and Server headers (uvicorn's
`--no-date-header --no-server-header`): the origin's are passed on.
"""

from __future__ import annotations

import hmac
import json
from urllib.parse import quote

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from blackstart.cdn.hop import Receive, Scope, Send
from blackstart.cdn.message import Headers, Request, Response, close_body, plain
from blackstart.cdn.node import Node
from blackstart.cdn.storage.quota import MEBIBYTE

log = structlog.get_logger(__name__)

RESERVED = "/.blackstart/"
PURGE_LIMIT_BYTES = MEBIBYTE


class PurgeOrder(BaseModel):
    """The body of a purge: forget whatever carries one of these tags."""

    model_config = ConfigDict(extra="forbid")

    tags: list[str]


class CdnApp:
    """The node behind any ASGI server; `purge_token` is what a purge must present."""

    def __init__(
        self, node: Node, purge_token: str, *, upload_limit_bytes: int = 16 * MEBIBYTE
    ) -> None:
        assert purge_token, "an empty token would let anybody purge"
        self.node = node
        self._authorization = f"Bearer {purge_token}".encode()
        self._upload_limit_bytes = upload_limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await _respond(await self._answer(scope, receive), send)
        else:
            await send({"type": "websocket.close", "code": 1003})

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        headers = Headers.from_raw(scope["headers"])
        # The decoded path is judged, so that no spelling of it reaches the origin.
        if scope["path"].startswith(RESERVED):
            return await self._own_page(scope["method"], scope["path"], headers, receive)
        target = target_of(scope)
        host = headers.get("host")
        if not host or not target.startswith("/"):
            return plain(400, "400 Bad Request: a Host header and an absolute path are needed")
        body: bytes | None = b""
        if scope["method"] not in ("GET", "HEAD"):
            body = await _read(receive, self._upload_limit_bytes)
        if body is None:
            limit = f"the limit is {self._upload_limit_bytes} bytes"
            return plain(413, f"413 Content Too Large: {limit}")
        return await self.node.answer(Request(scope["method"], target, host, headers, body))

    async def _own_page(
        self, method: str, path: str, headers: Headers, receive: Receive
    ) -> Response:
        page = path.removeprefix(RESERVED)
        if page not in ("purge", "healthz", "metrics"):
            return plain(404, "404 Not Found: the node has purge, healthz and metrics here")
        if page == "purge":
            return await self._purge(method, headers, receive)
        if method not in ("GET", "HEAD"):
            return _refuse_method("GET, HEAD")
        if page == "healthz":
            return _json(200, {"status": "ok", "node": self.node.name})
        content_type = "text/plain; version=0.0.4; charset=utf-8"
        return _own(200, content_type, self.node.metrics.text())

    async def _purge(self, method: str, headers: Headers, receive: Receive) -> Response:
        if method != "POST":
            return _refuse_method("POST")
        presented = (headers.get("authorization") or "").encode("latin-1")
        if not hmac.compare_digest(presented, self._authorization):
            refusal = plain(401, "401 Unauthorized: a purge needs the node's purge token")
            challenge = refusal.headers.plus(("www-authenticate", "Bearer"))
            return Response(refusal.status, challenge, refusal.body)
        body = await _read(receive, PURGE_LIMIT_BYTES)
        if body is None:
            return plain(413, f"413 Content Too Large: the limit is {PURGE_LIMIT_BYTES} bytes")
        try:
            order = PurgeOrder.model_validate_json(body)
        except ValidationError:
            return plain(400, '400 Bad Request: expected {"tags": ["..."]}')
        purged = await self.node.purge(order.tags)
        log.info("purged", node=self.node.name, tags=len(order.tags), purged=purged)
        return _json(200, {"purged": purged})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await self.node.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.node.close()
        await send({"type": "lifespan.shutdown.complete"})


def target_of(scope: Scope) -> str:
    """The path and query as the visitor wrote them."""
    raw_path: bytes | None = scope.get("raw_path")
    path = raw_path.decode("latin-1") if raw_path else quote(scope["path"])
    query: bytes = scope["query_string"]
    return f"{path}?{query.decode('latin-1')}" if query else path


async def _read(receive: Receive, limit_bytes: int) -> bytes | None:
    """The whole request body; None when it is longer than the limit."""
    chunks: list[bytes] = []
    size = 0
    more = True
    while more:
        event = await receive()
        chunk = event.get("body", b"")
        size += len(chunk)
        if size > limit_bytes:
            return None
        chunks.append(chunk)
        more = event.get("more_body", False)
    return b"".join(chunks)


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


def _own(status: int, content_type: str, body: bytes) -> Response:
    return Response(
        status,
        Headers(
            [
                ("content-type", content_type),
                ("cache-control", "no-store"),
                ("content-length", str(len(body))),
            ]
        ),
        body,
    )


def _json(status: int, value: object) -> Response:
    return _own(status, "application/json", json.dumps(value).encode())


def _refuse_method(allowed: str) -> Response:
    response = plain(405, f"405 Method Not Allowed: only {allowed}")
    return Response(response.status, response.headers.plus(("allow", allowed)), response.body)
