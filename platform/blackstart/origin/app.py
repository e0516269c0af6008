"""The origin as an ASGI application: Host -> site -> deploy -> pointer -> tree -> blob."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

from prometheus_client import generate_latest
from pymongo.errors import PyMongoError

from blackstart.control.purge import deploy_tag, site_tag
from blackstart.errors import BlackstartError, DigestMismatchError, ObjectNotFoundError
from blackstart.model import Deploy, InvalidDeploy, Site, Tree, TreeEntry
from blackstart.origin.answer import Answer, Fields, problem
from blackstart.origin.host import HostTarget, parse_host
from blackstart.origin.lookup import NOT_FOUND_PAGE, content_type, find_file
from blackstart.origin.metrics import OriginMetrics, Reason
from blackstart.safeguards import Safeguards
from blackstart.store import MetadataStore, ObjectStore
from blackstart.web.conditional import etag_matches, parse_range

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

BROWSERS = "public, max-age=0, must-revalidate"
NODES = "public, max-age=31536000"
NODES_404 = "public, max-age=60"
PLAN_FIELD = "blackstart-plan"
TREES_KEPT = 2_048
WHOLE_BYTES = 256 * 1024


class Origin:
    """Serves the published deploy of every site, and any deploy at its permalink host."""

    def __init__(
        self,
        store: MetadataStore,
        objects: ObjectStore,
        *,
        safeguards: Safeguards,
        domain: str = "localhost",
    ) -> None:
        self._store = store
        self._objects = objects
        self._safeguards = safeguards
        self._domain = domain
        self._trees: OrderedDict[str, Tree] = OrderedDict()
        self.metrics = OriginMetrics()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await _lifespan(scope, receive, send)
            return
        fields = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        target = parse_host(fields.get("host", ""), self._domain)
        if target is None and scope["path"].startswith("/.blackstart/"):
            answer = await self._operate(scope["path"])
        else:
            answer = await self._answer_safely(scope["method"], scope["path"], target, fields)
            self.metrics.count(answer.reason)
        await _send(answer, head=scope["method"] == "HEAD", send=send)

    async def _answer_safely(
        self, method: str, path: str, target: HostTarget | None, fields: Fields
    ) -> Answer:
        try:
            return await self._answer(method, path, target, fields)
        except (BlackstartError, PyMongoError):
            return problem(503, Reason.UNAVAILABLE, "The origin cannot read its stores right now.")

    async def _answer(
        self, method: str, path: str, target: HostTarget | None, fields: Fields
    ) -> Answer:
        if method not in ("GET", "HEAD"):
            return _not_allowed()
        if method == "HEAD":
            fields.pop("range", None)  # Ranges are for GET alone (RFC 9110 section 14.2).
        found = None if target is None else await self._find(target)
        if found is None:
            return problem(404, Reason.NO_SUCH_SITE, "No such site.")
        site, deploy = found
        if deploy is None and site.published_deploy_id is None:
            return problem(404, Reason.NOT_PUBLISHED, "Nothing is published here yet.")
        tree_id = None if deploy is None else _pointer(deploy)
        if deploy is None or tree_id is None:
            return self._pointer_missing()
        try:
            tree = await self._tree(tree_id)
        except (ObjectNotFoundError, DigestMismatchError):
            return problem(500, Reason.NO_TREE, "The list of this deploy's files is damaged.")
        return await self._file(site, deploy.id, tree, path, fields)

    async def _find(self, target: HostTarget) -> tuple[Site, Deploy | InvalidDeploy | None] | None:
        """The site that a host names and the deploy to show: the published or the named one."""
        if target.deploy_id is None:
            found = await self._store.sites.with_published_deploy(target.site_name)
            if found is not None and found[1] is not None and found[1].site_id != found[0].id:
                return found[0], None  # No site ever shows another's files.
            return found
        site = await self._store.sites.by_name(target.site_name)
        deploy = await self._store.deploys.find(target.deploy_id)
        if site is None or deploy is None or deploy.site_id != site.id:
            return None
        return site, deploy

    def _pointer_missing(self) -> Answer:
        """Without its pointer nothing says which files a deploy has (the review's 404s)."""
        if "honest-origin" in self._safeguards:
            return problem(503, Reason.NO_POINTER, "This deploy cannot be read right now.")
        return problem(404, Reason.NO_POINTER, "Not found.")

    async def _tree(self, tree_id: str) -> Tree:
        tree = self._trees.get(tree_id)
        if tree is None:
            tree = await self._objects.get_tree(tree_id)
            self._trees[tree_id] = tree
            if len(self._trees) > TREES_KEPT:
                self._trees.popitem(last=False)
        else:
            self._trees.move_to_end(tree_id)
        return tree

    async def _file(
        self, site: Site, deploy_id: str, tree: Tree, path: str, fields: Fields
    ) -> Answer:
        found = find_file(tree, path)
        status, nodes = 200, NODES
        if found is None:
            page = tree.files.get(NOT_FOUND_PAGE)
            if page is None:
                return problem(404, Reason.NO_SUCH_PATH, "Not found.")
            found, status, nodes = (NOT_FOUND_PAGE, page), 404, NODES_404
        tree_path, entry = found
        headers = {
            "content-type": content_type(tree_path),
            "etag": f'"{entry.sha1}"',
            "cache-control": BROWSERS,
            "cdn-cache-control": nodes,
            "cache-tag": f"{site_tag(site.id)},{deploy_tag(deploy_id)}",
            PLAN_FIELD: site.plan.value,
            "accept-ranges": "bytes",
        }
        if status == 200 and etag_matches(fields.get("if-none-match", ""), headers["etag"]):
            return Answer(304, Reason.NOT_MODIFIED, headers)
        try:
            return await self._bytes(entry, status, headers, fields)
        except ObjectNotFoundError:
            return problem(500, Reason.NO_BLOB, "This file was announced but never arrived.")

    async def _bytes(
        self, entry: TreeEntry, status: int, headers: Fields, fields: Fields
    ) -> Answer:
        reason = Reason.SERVED if status == 200 else Reason.NO_SUCH_PATH
        part = None
        if status == 200 and "range" in fields and _range_applies(fields, headers["etag"]):
            part = parse_range(fields["range"], entry.size)
        if part is None:
            headers["content-length"] = str(entry.size)
            return Answer(status, reason, headers, await self._read(entry, 0, entry.size))
        if part.start == part.end:
            headers["content-range"] = f"bytes */{entry.size}"
            headers["content-length"] = "0"
            return Answer(416, Reason.BAD_RANGE, headers)
        headers["content-range"] = f"bytes {part.start}-{part.end - 1}/{entry.size}"
        headers["content-length"] = str(part.end - part.start)
        return Answer(206, reason, headers, await self._read(entry, part.start, part.end))

    async def _read(self, entry: TreeEntry, start: int, end: int) -> bytes | AsyncIterator[bytes]:
        """A small blob in one read, a large one as a stream."""
        if entry.size <= WHOLE_BYTES:
            return (await self._objects.get_blob(entry.sha1))[start:end]
        return await self._objects.stream_blob(entry.sha1, start, end)

    async def _operate(self, path: str) -> Answer:
        """Health and metrics, for hosts that are no site's."""
        if path == "/.blackstart/healthz":
            return Answer(200, Reason.SERVED, {"content-type": "text/plain"}, b"ok\n")
        if path == "/.blackstart/metrics":
            body = generate_latest(self.metrics.registry)
            return Answer(200, Reason.SERVED, {"content-type": "text/plain; version=0.0.4"}, body)
        return problem(404, Reason.NO_SUCH_PATH, "Not found.")


def _pointer(deploy: Deploy | InvalidDeploy) -> str | None:
    """The deploy's tree id, as far as its metadata still has one."""
    if isinstance(deploy, Deploy):
        return deploy.metadata.tree
    metadata = deploy.raw.get("metadata")
    tree = metadata.get("tree") if isinstance(metadata, dict) else None
    return tree if isinstance(tree, str) else None


def _not_allowed() -> Answer:
    answer = problem(405, Reason.NOT_ALLOWED, "Only GET and HEAD are served here.")
    answer.fields["allow"] = "GET, HEAD"  # RFC 9110 section 15.5.6 asks for it.
    return answer


def _range_applies(fields: Fields, etag: str) -> bool:
    """A range is only for the representation named in If-Range (RFC 9110 section 13.1.5)."""
    return fields.get("if-range", etag) == etag


async def _send(answer: Answer, *, head: bool, send: Send) -> None:
    fields = dict(answer.fields)
    if isinstance(answer.body, bytes) and answer.status != 304:
        fields.setdefault("content-length", str(len(answer.body)))
    headers = [(key.encode("latin-1"), value.encode("latin-1")) for key, value in fields.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    if head:
        await send({"type": "http.response.body", "body": b""})
    elif isinstance(answer.body, bytes):
        await send({"type": "http.response.body", "body": answer.body})
    else:
        async for chunk in answer.body:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "lifespan", f"not a scope of ours: {scope['type']}"
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
