"""The control API: sites, deploys, files, builds, hooks and purges as JSON under /api/v1."""

from __future__ import annotations

from starlette.routing import BaseRoute

from blackstart.control.api.accounts import accounts_router, integrations_router
from blackstart.control.api.builds import builds_router
from blackstart.control.api.context import ApiContext
from blackstart.control.api.deploys import deploys_router
from blackstart.control.api.files import files_router
from blackstart.control.api.hooks import calls_router, hooks_router
from blackstart.control.api.purge import purge_router
from blackstart.control.api.sites import sites_router

__all__ = ["ApiContext", "api_routes"]


def api_routes(api: ApiContext) -> list[BaseRoute]:
    """All endpoints, for the root.

    They go into an application as they are: a router that is included has each of its
    routes made a second time, by the first request.
    """
    parts = (
        sites_router,
        deploys_router,
        files_router,
        builds_router,
        hooks_router,
        purge_router,
        accounts_router,
        calls_router,
        integrations_router,
    )
    return [route for part in parts for route in part(api).routes]
