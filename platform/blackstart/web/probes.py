"""The three questions an operator's machinery asks every service: alive, ready, how much."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

HEALTHZ, READYZ, METRICS = "/healthz", "/readyz", "/metrics"
WORKER_HEALTHZ = "/.blackstart/healthz"
"""Where services that serve nothing but probes, or other people's paths, have their health."""
PROBES = frozenset({HEALTHZ, READYZ, METRICS, WORKER_HEALTHZ})
CHECK_TIMEOUT_S = 3.0

Check = Callable[[], Awaitable[None]]
"""Something a service cannot work without; it raises when that is missing."""
Endpoint = Callable[[Request], Awaitable[Response]]
log = structlog.get_logger("probes")


def probe_endpoints(
    registry: CollectorRegistry, checks: Mapping[str, Check]
) -> dict[str, Endpoint]:
    """Path -> endpoint of `/healthz`, `/readyz` and `/metrics`, for any Starlette application.

    `/healthz` says that the process answers. `/readyz` is 503 and names the
    checks that failed when one raises or takes longer than 3 s.
    """

    async def healthz(request: Request) -> Response:
        return JSONResponse({"status": "ok"}, headers=_FRESH)

    async def readyz(request: Request) -> Response:
        failed = [name for name, check in checks.items() if not await _passes(name, check)]
        if failed:
            return JSONResponse({"status": "failing", "failed": failed}, 503, headers=_FRESH)
        return JSONResponse({"status": "ok"}, headers=_FRESH)

    async def metrics(request: Request) -> Response:
        return Response(
            generate_latest(registry), headers={**_FRESH, "content-type": CONTENT_TYPE_LATEST}
        )

    return {HEALTHZ: healthz, READYZ: readyz, METRICS: metrics}


_FRESH = {"cache-control": "no-store"}


async def _passes(name: str, check: Check) -> bool:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await check()
    except Exception as error:
        # Whatever the reason, the answer is the same; the reason is for the log.
        log.warning("not ready", check=name, error=str(error) or type(error).__name__)
        return False
    return True
