"""A node for those who visit it, and its own pages under `/.blackstart/` for those who run it."""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable
from urllib.parse import unquote

import structlog
from pydantic import ValidationError

from blackstart.cdn.message import Request, Response, gather_body, plain
from blackstart.cdn.node import Node
from blackstart.cdn.pages import answer_json, answer_own, list_entries, refuse_method, show_entry
from blackstart.cdn.purges import Message, What
from blackstart.cdn.storage.quota import MEBIBYTE
from blackstart.errors import StorageError

log = structlog.get_logger(__name__)

RESERVED = "/.blackstart/"
PAGES = "purge, healthz, metrics, entries and entry"
EXPECTED = 'expected {"tags": ["..."]}, {"urls": ["http://..."]} or {"everything": true}'
PURGE_LIMIT_BYTES = 4 * MEBIBYTE


class NodeApp:
    """What the front serves; `purge_token` is what a purge must present, None for no purges."""

    def __init__(self, node: Node, purge_token: str | None) -> None:
        assert purge_token != "", "an empty token would let anybody purge"
        self.node = node
        # A fresh page from memory; the node's own pages are never stored.
        self.quick = node.quick
        self._token = None if purge_token is None else purge_token.encode()

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
        if self._token is None:
            return plain(403, "403 Forbidden: this node was started without a purge token")
        scheme, _, token = (request.headers.get("authorization") or "").partition(" ")
        # A scheme has no case (RFC 9110 section 11.1).
        presented = token.strip(" ").encode("latin-1")
        if scheme.lower() == "bearer" and hmac.compare_digest(presented, self._token):
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
            order = _order(body)
        except ValueError as error:
            return plain(400, f"400 Bad Request: {_reason(error)}; {EXPECTED}")
        try:
            if isinstance(order, What):
                return answer_json(
                    200, {"purged": await self._purged(self.node.purges.forget_by_hand(order))}
                )
            return await self._obeyed(order)
        except StorageError as error:
            log.warning("not purged", node=self.node.name, error=str(error))
            return plain(503, "503 Service Unavailable: the cache could not carry the purge out")

    async def _obeyed(self, message: Message) -> Response:
        """Whether the node is where the sender of orders wants it, and where it is."""
        purges = self.node.purges
        if message.orders or message.after is None:
            purged = await self._purged(purges.obey(message))
        else:
            purged = await purges.obey(message)
        standing = {"position": purges.position, "token": purges.token()}
        if purged is None:
            return answer_json(409, standing)
        return answer_json(200, {"purged": purged, **standing})

    async def _purged(self, purging: Awaitable[int | None]) -> int | None:
        purged = await purging
        log.info("purged", node=self.node.name, purged=purged)
        return purged


def _reason(error: ValueError) -> str:
    """What is wrong with a purge, in a few words."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        reason = first["msg"].removeprefix("Value error, ")
        return f"{where}: {reason}" if where.isprintable() and 0 < len(where) < 80 else reason
    return "it is no JSON" if isinstance(error, json.JSONDecodeError) else str(error)


def _order(body: bytes) -> What | Message:
    """Orders from a log, or one purge by hand. Raises: ValueError"""
    given = json.loads(body)
    if isinstance(given, dict) and "after" in given:
        return Message.model_validate(given)
    what = What.model_validate(given)
    if not what.says_something:
        raise ValueError("it names nothing")
    return what
