"""The control API: sites, deploys and builds as JSON under /api/v1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query

from blackstart.clock import Clock
from blackstart.control.builds import BuildService
from blackstart.control.requests import CreateSite, StartBuild
from blackstart.control.views import Views
from blackstart.errors import UsageError
from blackstart.model import Repo, Site
from blackstart.seed import Seed
from blackstart.store import MetadataStore

Page = Annotated[int, Query(ge=1, le=100_000)]
PerPage = Annotated[int, Query(ge=1, le=100)]


@dataclass(frozen=True)
class Desk:
    """What the API needs to answer: stores, services, time and fresh ids."""

    store: MetadataStore
    builds: BuildService
    clock: Clock
    seed: Seed


def api_router(desk: Desk, views: Views) -> APIRouter:
    """All endpoints, to be mounted under /api/v1."""
    router = APIRouter()
    store = desk.store

    @router.get("/sites")
    async def list_sites(page: Page = 1, per_page: PerPage = 50) -> list[dict[str, Any]]:
        return await views.sites(await store.sites.page((page - 1) * per_page, per_page))

    @router.post("/sites", status_code=201)
    async def create_site(body: CreateSite) -> dict[str, Any]:
        site = Site(
            id=desk.seed.new_id(),
            name=_host_label(body.name),
            plan=body.plan,
            repo=Repo(url=body.repo_url, branch=body.branch),
            created_at=desk.clock.now(),
        )
        await store.sites.insert(site)
        return await views.site(site)

    @router.get("/sites/{site_id}")
    async def get_site(site_id: str) -> dict[str, Any]:
        return await views.site(await find_site(store, site_id))

    @router.get("/sites/{site_id}/deploys")
    async def list_deploys(
        site_id: str, page: Page = 1, per_page: PerPage = 50
    ) -> list[dict[str, Any]]:
        site = await find_site(store, site_id)
        skip = (page - 1) * per_page
        deploys = await store.deploys.of_site(site.id, skip=skip, limit=per_page)
        return [views.deploy(deploy) for deploy in deploys]

    @router.get("/deploys/{deploy_id}")
    async def get_deploy(deploy_id: str) -> dict[str, Any]:
        return views.deploy(await store.deploys.get(deploy_id))

    @router.get("/sites/{site_id}/builds")
    async def list_builds(site_id: str) -> list[dict[str, Any]]:
        site = await find_site(store, site_id)
        return [views.build(build) for build in await store.builds.of_site(site.id)]

    @router.post("/sites/{site_id}/builds", status_code=201)
    async def start_build(site_id: str, body: StartBuild | None = None) -> dict[str, Any]:
        site = await find_site(store, site_id)
        commit_ref = body.commit_ref if body else None
        return views.build(await desk.builds.start(site, commit_ref=commit_ref, why="api"))

    @router.get("/builds/{build_id}")
    async def get_build(build_id: str) -> dict[str, Any]:
        return views.build(await store.builds.get(build_id))

    @router.post("/builds/{build_id}/push")
    async def push_build(build_id: str) -> dict[str, Any]:
        build = await store.builds.get(build_id)
        await desk.builds.push_stuck(build)
        return views.build(await store.builds.get(build_id))

    return router


async def find_site(store: MetadataStore, name_or_id: str) -> Site:
    """A site by its name, else by its id. Raises: NotFoundError."""
    return await store.sites.by_name(name_or_id) or await store.sites.get(name_or_id)


def _host_label(name: str) -> str:
    if "--" in name:
        raise UsageError(
            f"a site's name cannot contain two dashes in a row: {name!r}",
            hint="they separate a deploy from its site in permalinks",
        )
    return name
