"""How long a body may be, and what JSON is, before a route sees either."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from blackstart.control.problems import answer
from blackstart.errors import TooLargeError

MAX_JSON_BYTES = 32 * 1024 * 1024


class BodyLimit:
    """ASGI middleware: a body over its limit gets 413, and what lies beyond is never read.

    A Content-Length over it is refused before the route runs, a body that
    turns out too long while it is read. `limit_of(scope)` is in bytes; None
    lets a request through, whatever its length.
    """

    def __init__(self, app: ASGIApp, *, limit_of: Callable[[Scope], int | None]) -> None:
        self._app = app
        self._limit_of = limit_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = self._limit_of(scope) if scope["type"] == "http" else None
        if limit is None:
            await self._app(scope, receive, send)
        elif _announced(scope) > limit:
            await _refuse(limit, scope, receive, send)
        else:
            await self._watch(limit, scope, receive, send)

    async def _watch(self, limit: int, scope: Scope, receive: Receive, send: Send) -> None:
        seen, too_long, started = 0, False, False

        async def counted() -> Message:
            nonlocal seen, too_long
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                too_long = True
                raise _TooLong
            return message

        async def guarded(message: Message) -> None:
            # Whatever a route makes of a body that breaks off, the answer is ours.
            nonlocal started
            if not too_long or started:
                started = True
                await send(message)

        try:
            await self._app(scope, counted, guarded)
        except _TooLong:
            if started:
                raise
        if too_long and not started:
            await _refuse(limit, scope, receive, send)


async def _refuse(limit: int, scope: Scope, receive: Receive, send: Send) -> None:
    error = TooLargeError(f"the body is longer than {limit} bytes")
    await answer(scope["path"], error)(scope, receive, send)


class _TooLong(Exception):
    """Ends the reading of a body in the route that reads it."""


class StrictRoute(APIRoute):
    """A route that takes JSON as RFC 8259 has it: no NaN or Infinity, and text that is Unicode.

    Python reads both, and neither can be stored or sent again. For routers
    whose bodies hold free-form values: `APIRouter(route_class=StrictRoute)`.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        return strictly


class _StrictRequest(Request):
    async def json(self) -> Any:
        """Raises: json.JSONDecodeError; UnicodeDecodeError for what is not UTF-8."""
        return strict_json(await self.body())


def strict_json(body: bytes) -> Any:
    """JSON without NaN, Infinity, lone surrogates, or a name that stands twice in one object.

    Raises: json.JSONDecodeError; UnicodeDecodeError for what is not UTF-8.
    """
    text = body.decode()
    try:
        parsed = json.loads(
            text, parse_constant=_no_number, parse_float=_finite, object_pairs_hook=_unique
        )
    except RecursionError as error:
        raise json.JSONDecodeError("it is nested too deep", "", 0) from error
    if "\\ud" in text.lower():  # Only an escape can smuggle a lone surrogate in.
        try:
            json.dumps(parsed, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise json.JSONDecodeError("a lone surrogate is no character", "", 0) from error
    return parsed


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Which of two equal names counts is anybody's guess (RFC 8259 section 4)."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = Counter(name for name, _ in pairs)
        raise json.JSONDecodeError(f"{names.most_common(1)[0][0][:200]!r} stands twice", "", 0)
    return found


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _no_number(digits)


def _no_number(name: str) -> NoReturn:
    raise json.JSONDecodeError(f"{name[:20]} is not a number that can be kept", "", 0)


def _announced(scope: Scope) -> int:
    text = Headers(scope=scope).get("content-length", "")
    # Of a number this long only its length matters, and Python reads no number of thousands.
    return int(text[:19]) if text.isascii() and text.isdecimal() else 0
