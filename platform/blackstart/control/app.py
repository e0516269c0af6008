"""The control plane as one ASGI application: API, web pages, health."""

from __future__ import annotations

from fastapi import FastAPI

from blackstart.control.api import Desk, api_router
from blackstart.control.front import put_in_front
from blackstart.control.pages import pages_router
from blackstart.control.paths import API_PREFIX
from blackstart.control.views import Views
from blackstart.safeguards import Safeguards


def control_app(
    desk: Desk,
    *,
    api_safeguards: Safeguards,
    pages_safeguards: Safeguards,
    rate_limit: int = 0,
) -> FastAPI:
    """The application. API and pages have switches of their own: they were mended one by one.

    `rate_limit` is in requests per minute for each token or address, 0 for no limit.
    """
    app = FastAPI(title="Blackstart control plane", version="0.1.0")
    put_in_front(app, desk.store, clock=desk.clock, seed=desk.seed, rate_limit=rate_limit)
    app.include_router(api_router(desk, Views(desk.store, api_safeguards)), prefix=API_PREFIX)
    app.include_router(pages_router(desk.store, Views(desk.store, pages_safeguards)))
    return app
