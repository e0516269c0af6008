"""How often the API may be asked: by token, or by address where there is no token."""

from __future__ import annotations

import hashlib
import ipaddress
import math
from collections import OrderedDict
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

WINDOW_S = 60
MAX_KEYS = 10_000


class Window:
    """Counts by key in the running minute of the clock; every minute starts from nothing.

    No more than `max_keys` are kept: beyond that, those that were quiet
    longest are forgotten.
    """

    def __init__(self, clock: Clock, limit: int, *, max_keys: int = MAX_KEYS) -> None:
        self._clock = clock
        self.limit = limit
        self._max_keys = max_keys
        self._minute = 0
        self._counts: OrderedDict[str, int] = OrderedDict()

    def __contains__(self, key: str) -> bool:
        self._turn()
        return key in self._counts

    def __len__(self) -> int:
        self._turn()
        return len(self._counts)

    def left(self, key: str) -> int:
        """How many more this minute."""
        self._turn()
        return max(0, self.limit - self._counts.get(key, 0))

    def take(self, key: str) -> bool:
        """Count one more; False, and nothing counted, when none are left."""
        if self.left(key) == 0:
            return False
        self._counts[key] = self._counts.get(key, 0) + 1
        self._counts.move_to_end(key)
        while len(self._counts) > self._max_keys:
            self._counts.popitem(last=False)
        return True

    def resets_at(self) -> int:
        """When the next minute starts, in seconds since the Unix epoch."""
        return (int(self._clock.time() // WINDOW_S) + 1) * WINDOW_S

    def _turn(self) -> None:
        minute = int(self._clock.time() // WINDOW_S)
        if minute != self._minute:
            self._minute = minute
            self._counts.clear()


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


def peer_of(scope: Scope) -> str:
    """The address that the connection came from; of IPv6 the network, which one client owns."""
    client = scope.get("client")
    if client is None:
        return "unknown"
    try:
        address = ipaddress.ip_address(client[0])
    except ValueError:
        return str(client[0])
    if address.version == 4:
        return str(address)
    return str(ipaddress.ip_network((int(address), 64), strict=False).network_address)
