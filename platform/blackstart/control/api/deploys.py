"""Deploys: made from digests or a zip file, looked up, called off, locked, restored."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from blackstart.control.api.context import ApiContext
from blackstart.control.api.deploy_bodies import create_deploy_body, deploy_body_schema
from blackstart.control.paging import Paging
from blackstart.control.paths import is_zip
from blackstart.control.problems import problem_responses
from blackstart.control.requests import AnnounceFiles, manifest_files
from blackstart.control.schemas import BranchOut, DeployOut
from blackstart.control.zipped import deploy_zip
from blackstart.errors import ConflictError
from blackstart.model import Context, Deploy, DeployState, InvalidDeploy, Scope

MISSING = problem_responses(404)
CHANGED = problem_responses(404, 409)


def deploys_router(api: ApiContext) -> APIRouter:
    """Routes below /sites/{site_id}/deploys and /deploys."""
    router = api.router("deploys")
    _reading(router, api)
    _making(router, api)
    _deciding(router, api)
    return router


def _reading(router: APIRouter, api: ApiContext) -> None:
    desk, read = api.desk, api.needs(Scope.READ)

    @router.get("/sites/{site_id}/deploys", dependencies=[read], responses=MISSING)
    async def list_deploys(
        request: Request,
        site_id: str,
        paging: Annotated[Paging, Depends()],
        state: Annotated[DeployState | None, Query()] = None,
        branch: Annotated[str | None, Query()] = None,
        production: Annotated[bool | None, Query()] = None,
        latest_published: Annotated[bool, Query(alias="latest-published")] = False,
    ) -> list[DeployOut]:
        """A site's deploys, newest first."""
        site = await desk.site(site_id)
        where = _where(state, branch, production)
        if latest_published:
            where["_id"] = site.published_deploy_id
        deploys = await desk.store.deploys.of_site(
            site.id, skip=paging.skip, limit=paging.limit, where=where
        )
        paging.link(len(deploys))
        views = api.views(request)
        return [views.deploy(deploy, site) for deploy in deploys]

    @router.get("/sites/{site_id}/deploys/{deploy_id}", dependencies=[read], responses=MISSING)
    async def get_site_deploy(request: Request, site_id: str, deploy_id: str) -> DeployOut:
        """One deploy of a site; asking also takes an upload on that was cut off at its end."""
        await desk.deploy_of(await desk.site(site_id), deploy_id)
        return await _shown(api, request, await desk.incoming.advance(deploy_id))

    @router.get("/deploys/{deploy_id}", dependencies=[read], responses=MISSING)
    async def get_deploy(request: Request, deploy_id: str) -> DeployOut:
        """One deploy."""
        return await _shown(api, request, await desk.incoming.advance(deploy_id))

    @router.get("/sites/{site_id}/deployed-branches", dependencies=[read], responses=MISSING)
    async def list_branches(request: Request, site_id: str) -> list[BranchOut]:
        """The newest ready deploy of every branch but the site's own."""
        site = await desk.site(site_id)
        found = await desk.store.deploys.branches(site.id)
        views = api.views(request)
        return [
            views.branch(deploy, site)
            for _, deploy in sorted(found.items())
            if isinstance(deploy, Deploy)
        ]


def _making(router: APIRouter, api: ApiContext) -> None:
    desk, deploy_scope = api.desk, api.needs(Scope.DEPLOY)

    @router.post(
        "/sites/{site_id}/deploys",
        dependencies=[deploy_scope],
        responses=CHANGED,
        openapi_extra=deploy_body_schema(),
    )
    async def create_deploy(
        request: Request,
        site_id: str,
        title: Annotated[str | None, Query(max_length=1_000)] = None,
    ) -> DeployOut:
        """Make a deploy: empty, from the digests of its files, or from a zip file.

        The answer's `required` lists the digests to upload.
        """
        site = await desk.site(site_id)
        if is_zip(request.headers.get("content-type", "")):
            zipped = await deploy_zip(desk, site, request.stream(), title=title)
            return await _shown(api, request, zipped)
        body = await create_deploy_body(request)
        site_branch = site.repo.branch if site.repo else "main"
        created = await desk.deploys.create(
            site.id,
            None if body.files is None else manifest_files(body.files),
            branch=body.branch or site_branch,
            context=body.context(site_branch),
            title=title or body.title,
        )
        if body.files is None:
            return await _shown(api, request, created)
        return await _shown(api, request, await desk.incoming.advance(created.id))

    @router.put(
        "/sites/{site_id}/deploys/{deploy_id}", dependencies=[deploy_scope], responses=CHANGED
    )
    async def announce_files(
        request: Request, site_id: str, deploy_id: str, body: AnnounceFiles
    ) -> DeployOut:
        """Say which files a deploy has; the answer's `required` lists the digests to upload."""
        await desk.deploy_of(await desk.site(site_id), deploy_id)
        await desk.deploys.announce(deploy_id, manifest_files(body.files))
        return await _shown(api, request, await desk.incoming.advance(deploy_id))

    @router.post(
        "/deploys/{deploy_id}/cancel",
        status_code=201,
        dependencies=[deploy_scope],
        responses=MISSING,
    )
    async def cancel_deploy(request: Request, deploy_id: str) -> DeployOut:
        """Call a deploy off. One that is ready stays as it is: nothing is ever unpublished."""
        return await _shown(api, request, await desk.deploys.cancel(deploy_id))


def _deciding(router: APIRouter, api: ApiContext) -> None:
    desk, operate = api.desk, api.needs(Scope.OPERATE)

    @router.post("/deploys/{deploy_id}/lock", dependencies=[operate], responses=CHANGED)
    async def lock_deploy(request: Request, deploy_id: str) -> DeployOut:
        """Keep the site at this deploy, which it must show. Builds go on but do not publish."""
        await desk.publisher.lock(deploy_id)
        return await _shown(api, request, await desk.store.deploys.get(deploy_id))

    @router.post("/deploys/{deploy_id}/unlock", dependencies=[operate], responses=MISSING)
    async def unlock_deploy(request: Request, deploy_id: str) -> DeployOut:
        """Let the site be published again, from the next deploy on."""
        await desk.publisher.unlock(deploy_id)
        return await _shown(api, request, await desk.store.deploys.get(deploy_id))

    @router.post(
        "/sites/{site_id}/deploys/{deploy_id}/restore",
        status_code=201,
        dependencies=[operate],
        responses=CHANGED,
    )
    async def restore_deploy(request: Request, site_id: str, deploy_id: str) -> DeployOut:
        """Make a ready deploy the published one, whatever is published now."""
        site = await desk.site(site_id)
        deploy = await desk.deploy_of(site, deploy_id)
        await desk.publisher.revert(site.id, deploy.id)
        return await _shown(api, request, deploy)

    @router.put(
        "/sites/{site_id}/rollback", status_code=204, dependencies=[operate], responses=CHANGED
    )
    async def roll_back_site(site_id: str) -> Response:
        """Go back to the newest ready deploy before the published one."""
        site = await desk.site(site_id)
        if site.locked:
            raise ConflictError(f"site {site.name} is locked", hint="unlock its deploy first")
        await desk.publisher.roll_back(site.id)
        return Response(status_code=204)


async def _shown(api: ApiContext, request: Request, deploy: Deploy | InvalidDeploy) -> DeployOut:
    site = await api.desk.store.sites.get(deploy.site_id)
    required = await api.desk.incoming.missing(deploy) if isinstance(deploy, Deploy) else []
    return api.views(request).deploy(deploy, site, required=required)


def _where(
    state: DeployState | None, branch: str | None, production: bool | None
) -> dict[str, Any]:
    where: dict[str, Any] = {}
    if state is not None:
        where["state"] = state
    if branch is not None:
        where["branch"] = branch
    if production is not None:
        others = [Context.BRANCH, Context.PREVIEW]
        where["context"] = Context.PRODUCTION if production else {"$in": others}
    return where
