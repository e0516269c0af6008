"""Entity tags for the API's answers, so that a client that polls is told when nothing changed."""

from __future__ import annotations

import hashlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from blackstart.control.paths import is_api
from blackstart.web.conditional import etag_matches


class Etags:
    """ASGI middleware: a JSON answer to GET gets a strong ETag of its bytes (RFC 9110 8.8.3).

    If-None-Match is answered with 304 (section 13.1.2). Only bodies that are
    sent in one piece are tagged; nothing is held back to be tagged.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or not is_api(scope["path"]):
            await self._app(scope, receive, send)
            return
        held: Message | None = None

        async def tagged(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start" and _takes_a_tag(message):
                held = message
                return
            if held is not None:
                start, held = held, None
                if not message.get("more_body", False):
                    message = _tag(start, message, Headers(scope=scope).get("if-none-match", ""))
                await send(start)
            await send(message)

        await self._app(scope, receive, tagged)


def _takes_a_tag(start: Message) -> bool:
    fields = Headers(raw=start["headers"])
    kind = fields.get("content-type", "").partition(";")[0].strip().lower()
    return start["status"] == 200 and kind == "application/json" and "etag" not in fields


def _tag(start: Message, body: Message, if_none_match: str) -> Message:
    """Put the tag on the answer; what is left of its body when the client has it already."""
    digest = hashlib.sha256(body.get("body", b"")).hexdigest()
    fields = MutableHeaders(scope=start)
    fields["etag"] = etag = f'"{digest[:32]}"'
    # What one token may see is not for another: a shared cache keeps none of it.
    fields.setdefault("cache-control", "private, no-cache")
    if not etag_matches(if_none_match, etag):
        return body
    start["status"] = 304
    del fields["content-length"], fields["content-type"]
    return {**body, "body": b""}
