"""Sites: create, list, look up, change, delete."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from blackstart.control.api.context import ApiContext
from blackstart.control.paging import Paging
from blackstart.control.problems import problem_responses
from blackstart.control.purge import site_tag
from blackstart.control.requests import ChangeSite, CreateSite
from blackstart.control.schemas import SiteOut
from blackstart.errors import HopError, UsageError
from blackstart.model import Repo, Scope, Site


def sites_router(api: ApiContext) -> APIRouter:
    """Routes below /sites."""
    router, desk = api.router("sites"), api.desk
    read, operate = api.needs(Scope.READ), api.needs(Scope.OPERATE)
    missing = problem_responses(404)

    @router.get("/sites", dependencies=[read])
    async def list_sites(
        request: Request,
        paging: Annotated[Paging, Depends()],
        name: Annotated[str | None, Query(description="Only the site of this name.")] = None,
    ) -> list[SiteOut]:
        """All sites in name order, each with its published deploy."""
        if name is not None:
            found = await desk.store.sites.by_name(name)
            sites = [found] if found is not None and paging.page == 1 else []
        else:
            sites = await desk.store.sites.page(paging.skip, paging.limit)
        paging.link(len(sites))
        return await api.views(request).sites(sites)

    @router.post(
        "/sites", status_code=201, dependencies=[operate], responses=problem_responses(409)
    )
    @router.post(
        "/{account_slug}/sites",
        status_code=201,
        dependencies=[operate],
        responses=problem_responses(409),
        include_in_schema=False,
    )
    async def create_site(request: Request, body: CreateSite) -> SiteOut:
        """Make a site. Its name becomes its host name."""
        site = Site(
            id=desk.seed.new_id(),
            name=_host_label(body.name),
            plan=body.plan,
            repo=_repo(api, body.repo_url, body.branch),
            created_at=desk.clock.now(),
        )
        await desk.store.sites.insert(site)
        return await api.views(request).site(site)

    @router.get("/sites/{site_id}", dependencies=[read], responses=missing)
    async def get_site(request: Request, site_id: str) -> SiteOut:
        """One site, by id or by name."""
        return await api.views(request).site(await desk.site(site_id))

    @router.patch("/sites/{site_id}", dependencies=[operate], responses=problem_responses(404, 409))
    async def change_site(request: Request, site_id: str, body: ChangeSite) -> SiteOut:
        """Change a site's name, plan or repository. A new name is a new host name."""
        site = await desk.site(site_id)
        fields = _changes(api, site, body)
        if fields:
            await desk.store.sites.change(site.id, fields | {"updated_at": desk.clock.now()})
            await _purge(api, site)
        return await api.views(request).site(await desk.store.sites.get(site.id))

    @router.delete("/sites/{site_id}", status_code=204, dependencies=[operate], responses=missing)
    async def delete_site(site_id: str) -> Response:
        """Delete a site with its deploys, builds and hooks. Its files stay in the object store."""
        site = await desk.site(site_id)
        await desk.store.sites.delete(site.id)
        await desk.store.hooks.delete_of_site(site.id)
        await desk.store.builds.delete_of_site(site.id)
        await desk.store.deploys.delete_of_site(site.id)
        await _purge(api, site)
        return Response(status_code=204)

    return router


def _changes(api: ApiContext, site: Site, body: ChangeSite) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if body.name is not None:
        fields["name"] = _host_label(body.name)
    if body.plan is not None:
        fields["plan"] = body.plan
    if body.repo_url is not None or body.branch is not None:
        url = body.repo_url or (site.repo.url if site.repo else None)
        if url is None:
            raise UsageError(f"site {site.name} has no repository", hint="give a repo_url as well")
        branch = body.branch or (site.repo.branch if site.repo else "main")
        repo = _repo(api, url, branch)
        fields["repo"] = None if repo is None else repo.model_dump()
    return fields


def _repo(api: ApiContext, url: str | None, branch: str) -> Repo | None:
    if url is None:
        return None
    api.desk.policy.check(url)
    return Repo(url=url, branch=branch)


def _host_label(name: str) -> str:
    if "--" in name:
        raise UsageError(
            f"a site's name cannot contain two dashes in a row: {name!r}",
            hint="they separate a deploy from its site in permalinks",
        )
    return name


async def _purge(api: ApiContext, site: Site) -> None:
    """What a name or a plan has made old; a node that is away says so in the log."""
    try:
        await api.desk.purge([site_tag(site.id)])
    except HopError as error:
        api.desk.events("purge.failed", site.id, error=error.message)
