"""All that stands in front of the control plane's routes, put together in one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastapi import FastAPI
from prometheus_client.registry import Collector
from starlette.datastructures import Headers
from starlette.types import Scope

from blackstart.clock import Clock
from blackstart.control.access import Access
from blackstart.control.bodies import MAX_JSON_BYTES, BodyLimit
from blackstart.control.etags import Etags
from blackstart.control.paths import is_upload, is_zip_upload
from blackstart.control.problems import Unexpected, install_problems
from blackstart.control.ratelimit import RateLimit
from blackstart.control.tokens import TokenService
from blackstart.control.zipped import MAX_ZIP_BYTES
from blackstart.seed import Seed
from blackstart.store import MetadataStore
from blackstart.web.metrics import HttpMetrics
from blackstart.web.probes import Check, probe_endpoints
from blackstart.web.requests import RequestLog


def put_in_front(
    app: FastAPI,
    store: MetadataStore,
    *,
    clock: Clock,
    seed: Seed,
    rate_limit: int,
    checks: Mapping[str, Check] | None = None,
    collectors: Sequence[Collector] = (),
) -> Access:
    """Give `app` its errors, probes, metrics, request ids, limits and entity tags.

    `rate_limit` is in requests per minute, 0 for none; `checks` are what has to
    answer, besides the database, for the application to be ready; `collectors` are
    metrics beside those of the requests. The `Access` that is
    returned has the dependencies by which routes demand a token.
    """
    access = Access(TokenService(store, clock, seed.fork("tokens")))
    metrics = HttpMetrics("control")
    for collector in collectors:
        metrics.registry.register(collector)
    # The last one added is the first to see a request.
    app.add_middleware(Etags)
    app.add_middleware(BodyLimit, limit_of=_body_limit)
    app.add_middleware(Unexpected)
    if rate_limit:
        app.add_middleware(RateLimit, access=access, clock=clock, limit=rate_limit)
    app.add_middleware(RequestLog, metrics=metrics, seed=seed.fork("requests"))
    install_problems(app)
    needed = {"database": store.ping, **(checks or {})}
    for path, endpoint in probe_endpoints(metrics.registry, needed).items():
        app.add_api_route(path, endpoint, include_in_schema=False)
    return access


def _body_limit(scope: Scope) -> int | None:
    """In bytes. The route that takes a file counts for itself, and says which file it was."""
    method, path = scope["method"], scope["path"]
    if is_upload(method, path):
        return None
    zipped = is_zip_upload(method, path, Headers(scope=scope).get("content-type", ""))
    return MAX_ZIP_BYTES if zipped else MAX_JSON_BYTES
