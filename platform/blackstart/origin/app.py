"""The origin as an ASGI application: Host -> site -> deploy -> pointer -> tree -> blob."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

from pymongo.errors import PyMongoError

from blackstart.errors import BlackstartError, DigestMismatchError, ObjectNotFoundError
from blackstart.model import Deploy, InvalidDeploy, Site
from blackstart.origin.answer import Answer, Fields, problem
from blackstart.origin.answers import Answers, Ask
from blackstart.origin.host import HostTarget, parse_host
from blackstart.origin.metrics import OriginMetrics, Reason
from blackstart.origin.operations import Operations
from blackstart.origin.published import PublishedTrees
from blackstart.safeguards import Safeguards
from blackstart.store import MetadataStore, ObjectStore

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

TAG_LINE_CHARS = 8_100


class Origin:
    """Serves every site's published deploy, each branch's newest, and any deploy by its id."""

    def __init__(
        self,
        store: MetadataStore,
        objects: ObjectStore,
        *,
        safeguards: Safeguards,
        domain: str = "localhost",
    ) -> None:
        self._store = store
        self._safeguards = safeguards
        self._domain = domain
        self.metrics = OriginMetrics()
        self._trees = PublishedTrees(objects, self.metrics)
        self._answers = Answers(objects)
        self._operations = Operations(store, objects, self.metrics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await _lifespan(scope, receive, send)
            return
        fields = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        target = parse_host(fields.get("host", ""), self._domain)
        if target is None and "via" not in fields and self._operations.has(scope["path"]):
            answer = await self._operations.answer(scope["path"])
        else:
            started_s = time.perf_counter()
            answer = await self._answer_safely(scope, target, fields)
            self.metrics.count(answer.reason)
            self.metrics.took(answer.status, time.perf_counter() - started_s)
        await _send(answer, head=scope["method"] == "HEAD", send=send)

    async def _answer_safely(
        self, scope: Scope, target: HostTarget | None, fields: Fields
    ) -> Answer:
        try:
            return await self._answer(scope, target, fields)
        except (BlackstartError, PyMongoError):
            return problem(503, Reason.UNAVAILABLE, "The origin cannot read its stores right now.")

    async def _answer(self, scope: Scope, target: HostTarget | None, fields: Fields) -> Answer:
        method = scope["method"]
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
            published = await self._trees.get(tree_id)
        except (ObjectNotFoundError, DigestMismatchError):
            return problem(500, Reason.NO_TREE, "The list of this deploy's files is damaged.")
        query = scope.get("query_string", b"").decode(errors="replace")
        branch = None if target is None else target.branch
        ask = Ask(site, deploy.id, scope["path"], query, fields, branch)
        return await self._answers.answer(ask, published)

    async def _find(self, target: HostTarget) -> tuple[Site, Deploy | InvalidDeploy | None] | None:
        """The site that a host names and the deploy to show: the published or the named one."""
        if target.deploy_id is None and target.branch is None:
            found = await self._store.sites.with_published_deploy(target.site_name)
            if found is not None and found[1] is not None and found[1].site_id != found[0].id:
                return found[0], None  # No site ever shows another's files.
            return found
        site = await self._store.sites.by_name(target.site_name)
        if site is None:
            return None
        if target.deploy_id is not None:
            deploy = await self._store.deploys.find(target.deploy_id)
        else:
            assert target.branch is not None
            deploy = await self._store.deploys.newest_of_branch(site.id, target.branch)
        return None if deploy is None or deploy.site_id != site.id else (site, deploy)

    def _pointer_missing(self) -> Answer:
        """Without its pointer nothing says which files a deploy has (the review's 404s)."""
        if "honest-origin" in self._safeguards:
            return problem(503, Reason.NO_POINTER, "This deploy cannot be read right now.")
        return problem(404, Reason.NO_POINTER, "Not found.")


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


async def _send(answer: Answer, *, head: bool, send: Send) -> None:
    fields = dict(answer.fields)
    if isinstance(answer.body, bytes) and answer.status != 304:
        fields.setdefault("content-length", str(len(answer.body)))
    tags = fields.pop("cache-tag", "")
    lines = [*fields.items(), *(("cache-tag", line) for line in _tag_lines(tags))]
    headers = [(key.encode("latin-1"), value.encode("latin-1")) for key, value in lines]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    if head:
        await send({"type": "http.response.body", "body": b""})
    elif isinstance(answer.body, bytes):
        await send({"type": "http.response.body", "body": answer.body})
    else:
        async for chunk in answer.body:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def _tag_lines(tags: str) -> Iterator[str]:
    """A list of hundreds of tags as several fields of one name: no client takes it as one."""
    while len(tags) > TAG_LINE_CHARS:
        line, _, _ = tags[:TAG_LINE_CHARS].rpartition(",")
        yield line
        tags = tags[len(line) + 1 :]
    if tags:
        yield tags


async def _lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "lifespan", f"not a scope of ours: {scope['type']}"
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
