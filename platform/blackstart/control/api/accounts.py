"""What clients ask on their way to a deploy and we have none of: accounts, variables, services."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from blackstart.control.api.context import ApiContext
from blackstart.control.problems import problem_responses
from blackstart.model import Scope


def accounts_router(api: ApiContext) -> APIRouter:
    """Empty lists, which is what is true."""
    router, read = api.router("accounts"), api.needs(Scope.READ)

    @router.get("/accounts", dependencies=[read])
    async def list_accounts() -> list[dict[str, Any]]:
        """Always empty: a platform has no accounts."""
        return []

    @router.get("/accounts/{slug}/env", dependencies=[read])
    async def list_variables(slug: str) -> list[dict[str, Any]]:
        """Always empty: variables are in netlify.toml."""
        return []

    @router.get(
        "/sites/{site_id}/service-instances",
        dependencies=[read],
        responses=problem_responses(404),
    )
    async def list_services(site_id: str) -> list[dict[str, Any]]:
        """Always empty: a site has no services beside its files."""
        await api.desk.site(site_id)
        return []

    return router


def integrations_router(api: ApiContext) -> APIRouter:
    """Asked outside of /api/v1 by a client that builds before it deploys."""
    router = APIRouter(include_in_schema=False)

    @router.get("/team/{account_id}/integrations/installations/meta/{site_id}")
    async def list_integrations(account_id: str, site_id: str) -> list[dict[str, Any]]:
        return []

    return router
