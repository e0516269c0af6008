"""Purges: what nodes are to forget of a site."""

from __future__ import annotations

from fastapi import APIRouter

from blackstart.control.api.context import ApiContext
from blackstart.control.problems import problem_responses
from blackstart.control.purge import custom_tag, site_tag
from blackstart.control.requests import PurgeCache
from blackstart.control.schemas import Accepted
from blackstart.errors import UsageError
from blackstart.model import Scope


def purge_router(api: ApiContext) -> APIRouter:
    """POST /purge."""
    router, desk = api.router("purge"), api.desk

    @router.post(
        "/purge",
        status_code=202,
        dependencies=[api.needs(Scope.DEPLOY)],
        responses=problem_responses(404, 502),
    )
    async def purge_cache(body: PurgeCache) -> Accepted:
        """Make every node forget a site's pages with these tags; all of them without `cache_tags`.

        502 names the nodes that did not confirm; the others have forgotten.
        """
        named = body.site_id or body.site_slug
        if named is None:
            raise UsageError("which site?", hint="give site_id or site_slug")
        site = await desk.site(named)
        if body.cache_tags is None:
            await desk.purge([site_tag(site.id)])
        elif body.cache_tags:
            await desk.purge([custom_tag(site.id, tag) for tag in body.cache_tags])
        return Accepted()

    return router
