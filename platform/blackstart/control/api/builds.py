"""Builds: start, list, follow, run again, call off."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import PlainTextResponse, StreamingResponse

from blackstart.control.api.context import ApiContext
from blackstart.control.buildlog import follow
from blackstart.control.paging import Paging
from blackstart.control.problems import problem_responses
from blackstart.control.requests import RerunBuild, StartBuild
from blackstart.control.schemas import BuildDetail, BuildOut
from blackstart.errors import ForbiddenError
from blackstart.model import Build, Scope, Token

MISSING = problem_responses(404)
CHANGED = problem_responses(404, 409)
Responses = dict[int | str, dict[str, Any]]


TEXT: Responses = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
EVENTS: Responses = {
    200: {
        "content": {
            "text/event-stream": {
                "itemSchema": {
                    "type": "object",
                    "properties": {
                        "event": {"enum": ["line", "end"]},
                        "id": {"type": "string", "pattern": "^[0-9]+$"},
                        "data": {"type": "string"},
                    },
                    "required": ["event", "id", "data"],
                }
            }
        }
    }
}


def builds_router(api: ApiContext) -> APIRouter:
    """Routes below /sites/{site_id}/builds and /builds."""
    router = api.router("builds")
    _reading(router, api)
    _starting(router, api)
    return router


def _reading(router: APIRouter, api: ApiContext) -> None:
    desk, read = api.desk, api.needs(Scope.READ)

    @router.get("/sites/{site_id}/builds", dependencies=[read], responses=MISSING)
    async def list_builds(
        request: Request, site_id: str, paging: Annotated[Paging, Depends()]
    ) -> list[BuildOut]:
        """A site's builds, newest first."""
        site = await desk.site(site_id)
        builds = await desk.store.builds.of_site(site.id, skip=paging.skip, limit=paging.limit)
        paging.link(len(builds))
        return [api.views(request).build(build) for build in builds]

    @router.get("/builds/{build_id}", dependencies=[read], responses=MISSING)
    async def get_build(request: Request, build_id: str) -> BuildDetail:
        """One build with its log."""
        return api.views(request).build_detail(await desk.store.builds.as_found(build_id))

    @router.get(
        "/builds/{build_id}/log",
        dependencies=[read],
        response_class=Response,  # Of no type: errors are JSON here too.
        responses={**MISSING, **TEXT},
    )
    async def get_log(build_id: str) -> PlainTextResponse:
        """A build's log so far, as text."""
        build = await desk.store.builds.get(build_id)
        return PlainTextResponse("".join(f"{line}\n" for line in build.log))

    @router.get(
        "/builds/{build_id}/log/stream",
        dependencies=[read],
        response_class=StreamingResponse,
        responses={**MISSING, **EVENTS},
    )
    async def stream_log(request: Request, build_id: str) -> StreamingResponse:
        """A build's log as server-sent events, until the build has ended.

        Each line is a `line` event, its id the line's number; the `end` event
        carries the build's state. `Last-Event-ID` goes on where a client was.
        """
        build = await desk.store.builds.get(build_id)
        seen = request.headers.get("last-event-id", "")
        events: AsyncIterator[str] = follow(
            desk.store.builds,
            build,
            desk.clock,
            seen=int(seen) if seen.isascii() and seen.isdecimal() and len(seen) < 10 else 0,
        )
        return StreamingResponse(
            events, media_type="text/event-stream", headers={"cache-control": "no-store"}
        )


def _starting(router: APIRouter, api: ApiContext) -> None:
    desk, deploy = api.desk, api.needs(Scope.DEPLOY)

    @router.post("/sites/{site_id}/builds", responses=MISSING)
    async def start_build(
        request: Request, site_id: str, body: StartBuild | None = None, token: Token = deploy
    ) -> BuildOut:
        """Build the head of a branch, or exactly the commit that `commit_ref` names.

        An `urgent` build needs the scope `operate`.
        """
        asked = body or StartBuild()
        _may_be_urgent(token, asked.urgent)
        build = await desk.builds.start(
            await desk.site(site_id),
            commit_ref=asked.commit_ref,
            branch=asked.branch,
            title=asked.title,
            urgent=asked.urgent,
            why="api",
        )
        return api.views(request).build(build)

    @router.post("/builds/{build_id}/rerun", responses=CHANGED)
    async def rerun_build(
        request: Request, build_id: str, body: RerunBuild | None = None, token: Token = deploy
    ) -> BuildOut:
        """Build exactly the commit of an earlier build once more, as a new deploy."""
        urgent = body is not None and body.urgent
        _may_be_urgent(token, urgent)
        earlier = await desk.store.builds.get(build_id)
        return api.views(request).build(await desk.builds.rerun(earlier, urgent=urgent))

    @router.post("/builds/{build_id}/cancel", dependencies=[deploy], responses=CHANGED)
    async def cancel_build(request: Request, build_id: str) -> BuildOut:
        """Call a build off. One that has ended stays as it is."""
        build: Build = await desk.builds.cancel(await desk.store.builds.get(build_id))
        return api.views(request).build(build)

    @router.post(
        "/builds/{build_id}/push",
        dependencies=[api.needs(Scope.OPERATE)],
        responses=CHANGED,
    )
    async def push_build(request: Request, build_id: str) -> BuildOut:
        """Publish the deploy of a build that is stuck at the publish check, unchecked."""
        await desk.builds.push_stuck(await desk.store.builds.get(build_id))
        return api.views(request).build(await desk.store.builds.get(build_id))


def _may_be_urgent(token: Token, urgent: bool) -> None:
    if urgent and not token.allows(Scope.OPERATE):
        raise ForbiddenError(Scope.OPERATE)
