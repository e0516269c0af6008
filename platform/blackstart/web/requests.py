"""Around every request of a service: its id, its log line, its place in the metrics."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from blackstart.seed import Seed
from blackstart.web.metrics import HttpMetrics
from blackstart.web.probes import PROBES

UNMATCHED = "unmatched"
NO_ANSWER = 499
"""The status in log and metrics of a request whose client left before an answer began."""
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
log = structlog.get_logger("http")


class RequestLog:
    """ASGI middleware, the outermost: one request id, one log line, one count per request.

    An `X-Request-Id` of up to 128 printable characters is taken over, else
    one is drawn from `seed`. It is bound to every log line of the request and
    sent with the answer.
    """

    def __init__(self, app: ASGIApp, *, metrics: HttpMetrics, seed: Seed) -> None:
        self._app = app
        self._metrics = metrics
        self._seed = seed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = Headers(scope=scope).get("x-request-id", "")
        request_id = sent if _REQUEST_ID.fullmatch(sent) else self._seed.new_id()
        answer = _Answer()

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = request_id
            answer.bytes += len(message.get("body", b""))
            await send(message)

        outside = structlog.contextvars.get_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        began_s = time.perf_counter()
        try:
            await self._app(scope, receive, watched)
        finally:
            self._note(scope, answer, time.perf_counter() - began_s)
            # Services that share a process, as in a drill, must not inherit this request's names.
            structlog.contextvars.clear_contextvars()
            structlog.contextvars.bind_contextvars(**outside)

    def _note(self, scope: Scope, answer: _Answer, seconds: float) -> None:
        route = route_of(scope)
        self._metrics.count(scope["method"], route, answer.status, seconds)
        # Probes ask every few seconds, and nobody wants to read that.
        write = log.debug if route in PROBES else log.info
        write(
            "request",
            service=self._metrics.service,
            method=scope["method"],
            route=route,
            status=answer.status,
            duration_ms=round(seconds * 1000, 1),
            bytes=answer.bytes,
        )


@dataclass
class _Answer:
    status: int = NO_ANSWER
    bytes: int = 0


def route_of(scope: Scope) -> str:
    """The template of the route that took a request, such as `/sites/{site_id}`.

    Never the raw path: what visitors write is neither for labels nor for logs.
    """
    # FastAPI keeps the template of an included router's route, prefix and all, in its own corner.
    context = scope.get("fastapi", {}).get("effective_route_context")
    for holder in (context, scope.get("route")):
        template = getattr(holder, "path_format", None) or getattr(holder, "path", None)
        if template:
            return str(template)
    return UNMATCHED
