"""All that stands in front of the control plane's routes, put together in one place."""

from __future__ import annotations

from fastapi import FastAPI

from blackstart.control.access import Access
from blackstart.control.bodies import MAX_JSON_BYTES, BodyLimit
from blackstart.control.desk import Desk
from blackstart.control.etags import Etags
from blackstart.control.paths import is_upload
from blackstart.control.problems import Unexpected, install_problems
from blackstart.control.ratelimit import RateLimit
from blackstart.web.metrics import HttpMetrics
from blackstart.web.probes import probe_endpoints
from blackstart.web.requests import RequestLog


def put_in_front(app: FastAPI, desk: Desk, *, access: Access, rate_limit: int) -> None:
    """Give `app` its errors, probes, metrics, request ids, limits and entity tags.

    `rate_limit` is in requests per minute, 0 for none.
    """
    metrics = HttpMetrics("control")
    # The last one added is the first to see a request.
    app.add_middleware(Etags)
    app.add_middleware(BodyLimit, limit=MAX_JSON_BYTES, streams=is_upload)
    if rate_limit:
        app.add_middleware(RateLimit, access=access, clock=desk.clock, limit=rate_limit)
    app.add_middleware(Unexpected)
    app.add_middleware(RequestLog, metrics=metrics, seed=desk.seed.fork("requests"))
    install_problems(app)
    checks = {"database": desk.store.ping, "object store": desk.objects.ping}
    for path, endpoint in probe_endpoints(metrics.registry, checks).items():
        app.add_api_route(path, endpoint, include_in_schema=False)
