"""A node for those who visit it, and its own pages under `/.blackstart/` for those who run it."""

from __future__ import annotations

import hmac
from urllib.parse import unquote

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from blackstart.cdn.message import Request, Response, gather_body, plain
from blackstart.cdn.node import Node
from blackstart.cdn.pages import answer_json, answer_own, list_entries, refuse_method, show_entry
from blackstart.cdn.storage.quota import MEBIBYTE

log = structlog.get_logger(__name__)

RESERVED = "/.blackstart/"
PAGES = "purge, healthz, metrics, entries and entry"
PURGE_LIMIT_BYTES = MEBIBYTE


class PurgeOrder(BaseModel):
    """The body of a purge: forget whatever carries one of these tags."""

    model_config = ConfigDict(extra="forbid")

    tags: list[str]


class NodeApp:
    """What the front serves; `purge_token` is what a purge must present, None for no purges."""

    def __init__(self, node: Node, purge_token: str | None) -> None:
        assert purge_token != "", "an empty token would let anybody purge"
        self.node = node
        self._authorization = None if purge_token is None else f"Bearer {purge_token}".encode()

    def quick(self, request: Request) -> Response | None:
        """A fresh page from memory; the node's own pages are never stored."""
        return self.node.quick(request)

    async def answer(self, request: Request) -> Response:
        """A page of a site, or one of the node's own."""
        path = request.target.partition("?")[0]
        # The decoded path is judged, so that no spelling of it reaches the origin.
        if unquote(path).startswith(RESERVED):
            return await self._own_page(request, unquote(path).removeprefix(RESERVED))
        return await self.node.answer(request)

    async def _own_page(self, request: Request, page: str) -> Response:
        if page not in ("purge", "healthz", "metrics", "entries", "entry"):
            return plain(404, f"404 Not Found: the node has {PAGES} here")
        if page == "purge":
            return await self._purge(request)
        if request.method not in ("GET", "HEAD"):
            return refuse_method("GET, HEAD")
        if page == "healthz":
            return answer_json(200, {"status": "ok", "node": self.node.name})
        if page == "metrics":
            content_type = "text/plain; version=0.0.4; charset=utf-8"
            return answer_own(200, content_type, self.node.metrics.text())
        refusal = self._refusal(request, "this page")
        if refusal is not None:
            return refusal
        query = request.target.partition("?")[2]
        return await (list_entries if page == "entries" else show_entry)(self.node, query)

    def _refusal(self, request: Request, what: str) -> Response | None:
        """The answer to a request without the node's token."""
        if self._authorization is None:
            return plain(403, "403 Forbidden: this node was started without a purge token")
        presented = (request.headers.get("authorization") or "").encode("latin-1")
        if hmac.compare_digest(presented, self._authorization):
            return None
        refusal = plain(401, f"401 Unauthorized: {what} needs the node's purge token")
        challenge = refusal.headers.plus(("www-authenticate", "Bearer"))
        return Response(refusal.status, challenge, refusal.body)

    async def _purge(self, request: Request) -> Response:
        if request.method != "POST":
            return refuse_method("POST")
        refusal = self._refusal(request, "a purge")
        if refusal is not None:
            return refusal
        body = await gather_body(request.body, PURGE_LIMIT_BYTES)
        if not isinstance(body, bytes):
            return plain(413, f"413 Content Too Large: the limit is {PURGE_LIMIT_BYTES} bytes")
        try:
            order = PurgeOrder.model_validate_json(body)
        except ValidationError:
            return plain(400, '400 Bad Request: expected {"tags": ["..."]}')
        purged = await self.node.purge(order.tags)
        log.info("purged", node=self.node.name, tags=len(order.tags), purged=purged)
        return answer_json(200, {"purged": purged})
