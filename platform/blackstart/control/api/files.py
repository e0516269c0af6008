"""Files: what a client sends for a deploy, and what a site shows."""

from __future__ import annotations

from fastapi import APIRouter, Request

from blackstart.control.api.context import ApiContext
from blackstart.control.deploys import valid
from blackstart.control.problems import problem_responses
from blackstart.control.schemas import FileOut
from blackstart.control.views import file_view
from blackstart.errors import NotFoundError
from blackstart.model import Scope, Tree, TreeEntry

BYTES = {
    "requestBody": {
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    }
}


def files_router(api: ApiContext) -> APIRouter:
    """Routes below /deploys/{deploy_id}/files and /sites/{site_id}/files."""
    router, desk = api.router("files"), api.desk
    read = api.needs(Scope.READ)

    @router.put(
        "/deploys/{deploy_id}/files/{path:path}",
        dependencies=[api.needs(Scope.DEPLOY)],
        responses=problem_responses(404, 409),
        openapi_extra=BYTES,
    )
    async def upload_file(request: Request, deploy_id: str, path: str) -> FileOut:
        """Send one announced file. The last one takes the deploy on by itself."""
        file = await desk.incoming.receive(deploy_id, path, request.stream())
        return file_view(file.path, TreeEntry(file.sha1, file.size or 0))

    @router.get("/sites/{site_id}/files", dependencies=[read], responses=problem_responses(404))
    async def list_files(site_id: str) -> list[FileOut]:
        """The files of the published deploy, in path order."""
        tree = await _published_tree(site_id)
        return [file_view(path, tree.files[path]) for path in sorted(tree.files)]

    @router.get(
        "/sites/{site_id}/files/{path:path}", dependencies=[read], responses=problem_responses(404)
    )
    async def get_file(site_id: str, path: str) -> FileOut:
        """One file of the published deploy."""
        tree = await _published_tree(site_id)
        path = path.removeprefix("/")
        if path not in tree.files:
            raise NotFoundError(f"the published deploy has no file {path!r}")
        return file_view(path, tree.files[path])

    async def _published_tree(site_id: str) -> Tree:
        site = await desk.site(site_id)
        if site.published_deploy_id is None:
            raise NotFoundError(f"nothing is published at site {site.name} yet")
        deploy = valid(await desk.store.deploys.get(site.published_deploy_id))
        if deploy.metadata.tree is None:
            raise NotFoundError(f"deploy {deploy.id} has no tree")
        return await desk.objects.get_tree(deploy.metadata.tree)

    return router
