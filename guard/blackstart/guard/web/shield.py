"""Around every page: no script runs, no other site frames it, reads it or posts to it."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
FIELDS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not `no-referrer`: browsers would send `Origin: null` with our own forms.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
SAFE = frozenset({"GET", "HEAD"})


class Shield:
    """ASGI middleware. `url` is where people reach the page, when that is not where it listens;
    `open_paths` take requests of other machines, which sign them."""

    def __init__(self, app: ASGIApp, *, url: str, open_paths: frozenset[str]) -> None:
        self._app = app
        self._origin = url.rstrip("/").lower()
        self._open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_fields(message: Message) -> None:
            if message["type"] == "http.response.start":
                fields = MutableHeaders(scope=message)
                for name, value in FIELDS.items():
                    fields.setdefault(name, value)
            await send(message)

        app = self._app if self._may_pass(scope) else _REFUSED
        await app(scope, receive, with_fields)

    def _may_pass(self, scope: Scope) -> bool:
        """Whether a request changes nothing, or comes from a page of ours.

        Every browser of today names the origin of a form (RFC 6454, section 7); what names
        none is no browser with somebody's cookie, and has the guard's own commands.
        """
        if scope["method"] in SAFE or scope["path"] in self._open_paths:
            return True
        fields = Headers(scope=scope)
        origin = fields.get("origin", "").lower()
        own = f"{scope['scheme']}://{fields.get('host', '').lower()}"
        return origin != "" and origin in (own, self._origin)


_REFUSED = PlainTextResponse("This form was sent from another site.\n", 403)
