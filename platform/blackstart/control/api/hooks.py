"""Build hooks: made and listed by those who operate, called by whoever has the address."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response

from blackstart.control.api.context import ApiContext
from blackstart.control.paths import HOOKS_PREFIX
from blackstart.control.problems import problem_responses
from blackstart.control.requests import CreateHook
from blackstart.control.schemas import BuildHookOut, BuildOut
from blackstart.errors import NotFoundError
from blackstart.model import BuildHook, Scope

MISSING = problem_responses(404)


def hooks_router(api: ApiContext) -> APIRouter:
    """Routes below /sites/{site_id}/build_hooks, and those that need no site to be named."""
    router, desk = api.router("build hooks"), api.desk
    operate = api.needs(Scope.OPERATE)

    async def hook_of(site_id: str, hook_id: str) -> BuildHook:
        site = await desk.site(site_id)
        hook = await desk.store.hooks.get(hook_id)
        if hook.site_id != site.id:
            raise NotFoundError(f"site {site.name} has no build hook {hook_id!r}")
        return hook

    @router.get("/sites/{site_id}/build_hooks", dependencies=[operate], responses=MISSING)
    async def list_hooks(request: Request, site_id: str) -> list[BuildHookOut]:
        """A site's build hooks. Their addresses are secrets."""
        site = await desk.site(site_id)
        views = api.views(request)
        return [views.hook(hook) for hook in await desk.store.hooks.of_site(site.id)]

    @router.post(
        "/sites/{site_id}/build_hooks", status_code=201, dependencies=[operate], responses=MISSING
    )
    async def create_hook(
        request: Request, site_id: str, body: CreateHook | None = None
    ) -> BuildHookOut:
        """Make a build hook. The secret of a signed one is shown here and never again."""
        site = await desk.site(site_id)
        asked = body or CreateHook()
        site_branch = site.repo.branch if site.repo else "main"
        hook = await desk.hooks.create(
            site, title=asked.title, branch=asked.branch or site_branch, signed=asked.signed
        )
        return api.views(request).hook(hook, secret=hook.secret)

    @router.get("/sites/{site_id}/build_hooks/{hook_id}", dependencies=[operate], responses=MISSING)
    async def get_hook(request: Request, site_id: str, hook_id: str) -> BuildHookOut:
        """One build hook."""
        return api.views(request).hook(await hook_of(site_id, hook_id))

    @router.put("/sites/{site_id}/build_hooks/{hook_id}", dependencies=[operate], responses=MISSING)
    async def change_hook(
        request: Request, site_id: str, hook_id: str, body: CreateHook
    ) -> BuildHookOut:
        """Change a hook's title and branch. Whether it is signed stays."""
        hook = await hook_of(site_id, hook_id)
        fields: dict[str, Any] = {"title": body.title, "branch": body.branch or hook.branch}
        await desk.store.hooks.change(hook.id, fields)
        return api.views(request).hook(hook.model_copy(update=fields))

    @router.delete(
        "/sites/{site_id}/build_hooks/{hook_id}",
        status_code=204,
        dependencies=[operate],
        responses=MISSING,
    )
    async def delete_hook(site_id: str, hook_id: str) -> Response:
        """Delete a build hook: its address leads nowhere from then on."""
        hook = await hook_of(site_id, hook_id)
        await desk.store.hooks.delete(hook.id)
        return Response(status_code=204)

    _by_id(router, api)
    return router


def _by_id(router: APIRouter, api: ApiContext) -> None:
    """A hook's id names one hook among those of all sites."""
    desk, operate = api.desk, api.needs(Scope.OPERATE)

    @router.get("/build_hooks/{hook_id}", dependencies=[operate], responses=MISSING)
    async def find_hook(request: Request, hook_id: str) -> BuildHookOut:
        """One build hook of any site."""
        return api.views(request).hook(await desk.store.hooks.get(hook_id))

    @router.delete(
        "/build_hooks/{hook_id}", status_code=204, dependencies=[operate], responses=MISSING
    )
    async def delete_found_hook(hook_id: str) -> Response:
        """Delete a build hook of any site."""
        hook = await desk.store.hooks.get(hook_id)
        await desk.store.hooks.delete(hook.id)
        return Response(status_code=204)


def calls_router(api: ApiContext) -> APIRouter:
    """Where hooks are called, without a token."""
    router = APIRouter(
        tags=["build hooks"], responses=problem_responses(400, 401, 404, 413, 422, 429, 500, 503)
    )

    @router.post(
        f"{HOOKS_PREFIX}/{{hook_id}}",
        responses={204: {"description": "A push of another branch: nothing to build."}},
        response_model=BuildOut,
    )
    async def call_hook(
        request: Request,
        hook_id: str,
        trigger_title: Annotated[str | None, Query(max_length=1_000)] = None,
        signature: Annotated[str | None, Header(alias="X-Hub-Signature-256")] = None,
    ) -> Any:
        """Start the hook's build. A git host's push report is understood, anything else ignored."""
        body = await request.body()
        build = await api.desk.hooks.call(hook_id, body, signature, title=trigger_title)
        return Response(status_code=204) if build is None else api.views(request).build(build)

    return router
