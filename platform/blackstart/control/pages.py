"""The web pages: the list of sites, one site with its deploys, and one deploy with its log."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates
from starlette.responses import Response

from blackstart.control.desk import Desk
from blackstart.control.links import Links
from blackstart.control.views import Views
from blackstart.safeguards import Safeguards

PER_PAGE = 50
LAST_PAGE = 100_000


def pages_router(desk: Desk, safeguards: Safeguards) -> APIRouter:
    """All pages, to be mounted at the root."""
    store = desk.store
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
    templates = Jinja2Templates(Path(__file__).parent / "templates")

    def views_for(request: Request) -> Views:
        return Views(store, safeguards, Links(desk.public_url, str(request.base_url)))

    @router.get("/")
    async def sites_page(request: Request, page: int = 1) -> Response:
        views = views_for(request)
        page = min(max(1, page), LAST_PAGE)
        sites = await views.sites(await store.sites.page((page - 1) * PER_PAGE, PER_PAGE))
        return templates.TemplateResponse(
            request, "sites.html", {"sites": sites, "page": page, "per_page": PER_PAGE}
        )

    @router.get("/sites/{name}")
    async def site_page(request: Request, name: str) -> Response:
        views = views_for(request)
        site = await desk.site(name)
        found = await store.deploys.of_site(site.id, limit=PER_PAGE)
        context = {
            "site": await views.site(site),
            "deploys": [views.deploy(deploy, site) for deploy in found],
            "builds": [
                views.build(build) for build in await store.builds.of_site(site.id, limit=PER_PAGE)
            ],
        }
        return templates.TemplateResponse(request, "site.html", context)

    @router.get("/sites/{name}/deploys/{deploy_id}")
    async def deploy_page(request: Request, name: str, deploy_id: str) -> Response:
        """Where Netlify's command line says that the build's log is."""
        views = views_for(request)
        site = await desk.site(name)
        shown = views.deploy(await desk.deploy_of(site, deploy_id), site)
        found = await store.builds.as_found(shown.build_id) if shown.build_id else None
        build = views.build_detail(found) if found else None
        context = {"site": site, "deploy": shown, "build": build}
        return templates.TemplateResponse(request, "deploy.html", context)

    @router.get("/sites/{name}/logs/{kind}")
    async def function_logs_page(
        request: Request, name: str, kind: Literal["functions", "edge-functions"]
    ) -> Response:
        """Netlify's command line names these for every deploy; here nothing ever runs."""
        context = {"site": await desk.site(name), "kind": kind.replace("-", " ")}
        return templates.TemplateResponse(request, "logs.html", context)

    return router
