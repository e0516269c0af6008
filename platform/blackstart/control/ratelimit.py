"""How often the API may be asked: by token, or by address where there is no token."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

from fastapi import Request
from pymongo.errors import PyMongoError
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from blackstart.clock import Clock
from blackstart.control.access import Access, presented
from blackstart.control.paths import is_upload, speaks_json
from blackstart.control.problems import answer
from blackstart.errors import BlackstartError, RateLimitedError, UnauthorizedError
from blackstart.web.window import Window, peer_of


@dataclass(frozen=True)
class _Verdict:
    key: str
    refused: str = ""


class RateLimit:
    """ASGI middleware: at most `limit` API requests a minute for each token or address.

    A token that is not valid counts for the address it came from, there also
    among the failures; as many failures in a minute bar that address from
    trying further tokens. Those that were accepted in that minute go on, so
    that a stranger behind the same proxy cannot lock their owners out.
    Uploads of files are not counted.
    """

    def __init__(self, app: ASGIApp, *, access: Access, clock: Clock, limit: int) -> None:
        assert limit > 0, "without a limit there is nothing to stand here for"
        self._app = app
        self._access = access
        self._clock = clock
        self._requests = Window(clock, limit)
        self._failures = Window(clock, limit)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not speaks_json(scope["path"]):
            await self._app(scope, receive, send)
            return
        verdict = await self._judge(Request(scope))
        resets_at = self._requests.resets_at()
        left = 0 if verdict.refused else self._requests.left(verdict.key)

        async def with_fields(message: Message) -> None:
            if message["type"] == "http.response.start":
                fields = MutableHeaders(scope=message)
                fields["x-ratelimit-limit"] = str(self._requests.limit)
                fields["x-ratelimit-remaining"] = str(left)
                fields["x-ratelimit-reset"] = str(resets_at)
            await send(message)

        if verdict.refused:
            wait_s = max(1, math.ceil(resets_at - self._clock.time()))
            error = RateLimitedError(verdict.refused, retry_after_s=wait_s)
            await answer(scope["path"], error)(scope, receive, with_fields)
        else:
            await self._app(scope, receive, with_fields)

    async def _judge(self, request: Request) -> _Verdict:
        peer = peer_of(request.scope)
        bearer = await presented(request)
        key = peer if bearer is None else hashlib.sha256(bearer.encode()).hexdigest()
        if bearer is not None and key not in self._requests and self._failures.left(peer) == 0:
            return _Verdict(peer, "too many tokens that are not valid came from this address")
        if not await self._accepted(request, peer):
            key = peer
        if is_upload(request.method, request.url.path) or self._requests.take(key):
            return _Verdict(key)
        return _Verdict(key, f"only {self._requests.limit} requests a minute are answered")

    async def _accepted(self, request: Request, peer: str) -> bool:
        """Whether the request has a valid token; one that is not valid is held against `peer`."""
        try:
            return await self._access.identify(request) is not None
        except UnauthorizedError:
            self._failures.take(peer)
        except (BlackstartError, PyMongoError):
            pass  # The route asks again, and its answer says what is wrong.
        return False
