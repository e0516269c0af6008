"""The control plane as one ASGI application: API, web pages, health."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import FastAPI
from prometheus_client.registry import Collector

from blackstart.control.api import ApiContext, api_routes
from blackstart.control.desk import Desk
from blackstart.control.document import DocumentedApi
from blackstart.control.front import put_in_front
from blackstart.control.pages import pages_router
from blackstart.safeguards import Safeguards

DESCRIPTION = """\
Sites, deploys, files, builds and purges, in the shape of Netlify's API as far as it goes, so that
its command line and its JavaScript client deploy here. Every call needs a token
(`blackstart token create`), every error is `{code, message, hint}`.
"""


def control_app(
    desk: Desk,
    *,
    api_safeguards: Safeguards,
    pages_safeguards: Safeguards,
    rate_limit: int = 0,
    collectors: Sequence[Collector] = (),
) -> FastAPI:
    """The application. API and pages have switches of their own: they were mended one by one.

    `rate_limit` is in requests per minute for each token or address, 0 for no limit;
    `collectors` are metrics beside those of the requests.
    """
    app = DocumentedApi(
        title="Blackstart control plane",
        version="1",
        description=DESCRIPTION,
        docs_url="/docs",
        redoc_url=None,
    )
    access = put_in_front(
        app,
        desk.store,
        clock=desk.clock,
        seed=desk.seed,
        rate_limit=rate_limit,
        collectors=collectors,
        checks={"object store": desk.objects.ping},
    )
    app.router.routes += api_routes(ApiContext(desk, access, api_safeguards))
    app.router.routes += pages_router(desk, pages_safeguards).routes
    return app
