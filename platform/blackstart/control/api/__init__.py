"""The control API: sites, deploys, files, builds, hooks and purges as JSON under /api/v1."""

from __future__ import annotations

from fastapi import APIRouter

from blackstart.control.api.accounts import accounts_router, integrations_router
from blackstart.control.api.builds import builds_router
from blackstart.control.api.context import ApiContext
from blackstart.control.api.deploys import deploys_router
from blackstart.control.api.files import files_router
from blackstart.control.api.hooks import calls_router, hooks_router
from blackstart.control.api.purge import purge_router
from blackstart.control.api.sites import sites_router
from blackstart.control.paths import API_PREFIX

__all__ = ["ApiContext", "api_router"]


def api_router(api: ApiContext) -> APIRouter:
    """All endpoints, to be mounted at the root."""
    router = APIRouter()
    for part in (
        sites_router,
        deploys_router,
        files_router,
        builds_router,
        hooks_router,
        purge_router,
        accounts_router,
    ):
        router.include_router(part(api), prefix=API_PREFIX)
    router.include_router(calls_router(api))
    router.include_router(integrations_router(api))
    return router
