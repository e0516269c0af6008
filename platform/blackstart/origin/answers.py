"""Builds the answer for a visitor from what a deploy shows: files, redirects, missing pages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from blackstart.control.purge import branch_tag, custom_tag, deploy_tag, site_tag
from blackstart.errors import ObjectNotFoundError
from blackstart.model import Site, TreeEntry
from blackstart.origin.answer import Answer, Fields, problem
from blackstart.origin.metrics import Reason
from blackstart.origin.published import Published
from blackstart.origin.routes import Move, Nothing, Page, route
from blackstart.store import ObjectStore
from blackstart.web.conditional import etag_matches, parse_range
from blackstart.web.content_type import content_type

BROWSERS = "public, max-age=0, must-revalidate"
NODES = "public, max-age=31536000"
NODES_SHORT = "public, max-age=60"
PLAN_FIELD = "blackstart-plan"
WHOLE_BYTES = 256 * 1024
MAX_LOCATION_CHARS = 8_000
"""A longer field breaks off the answer at a node and at many other clients."""
_CACHE_FIELDS = frozenset({"cache-control", "cdn-cache-control"})


@dataclass(frozen=True)
class Ask:
    """What a visitor asks of a site's deploy: the decoded path, the query as sent, the fields.

    `branch` is set where the host named one: its next deploy makes the answer old.
    """

    site: Site
    deploy_id: str
    path: str
    query: str
    fields: Fields
    branch: str | None = None


class Answers:
    """Answers from deploys whose files are in `objects`."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    async def answer(self, ask: Ask, published: Published) -> Answer:
        """Raises: StorageError."""
        leads_to = route(published.tree, published.rules, ask.path, ask.query)
        if isinstance(leads_to, Nothing):
            return _nothing(leads_to.status)
        if isinstance(leads_to, Move):
            return _move(leads_to, _common(ask, published))
        headers = self._page_headers(ask, published, leads_to)
        if leads_to.status == 200 and etag_matches(
            ask.fields.get("if-none-match", ""), headers["etag"]
        ):
            return Answer(304, Reason.NOT_MODIFIED, headers)
        try:
            return await self._bytes(leads_to, headers, ask.fields)
        except ObjectNotFoundError:
            return problem(500, Reason.NO_BLOB, "This file was announced but never arrived.")

    def _page_headers(self, ask: Ask, published: Published, page: Page) -> Fields:
        headers = {
            "content-type": content_type(page.path),
            "etag": f'"{page.entry.sha1}"',
            **_common(ask, published),
            "accept-ranges": "bytes",
        }
        if page.status != 200:
            headers["cdn-cache-control"] = NODES_SHORT
        if published.rules is not None and published.rules.headers:
            _add_site_fields(headers, ask, published, page.status)
        return headers

    async def _bytes(self, page: Page, headers: Fields, asked: Fields) -> Answer:
        entry = page.entry
        part = None
        if page.status == 200 and "range" in asked and _range_applies(asked, headers["etag"]):
            part = parse_range(asked["range"], entry.size)
        if part is None:
            headers["content-length"] = str(entry.size)
            body = await self._read(entry, 0, entry.size)
            return Answer(page.status, _REASONS[page.status], headers, body)
        if part.start == part.end:
            headers["content-range"] = f"bytes */{entry.size}"
            headers["content-length"] = "0"
            return Answer(416, Reason.BAD_RANGE, headers)
        headers["content-range"] = f"bytes {part.start}-{part.end - 1}/{entry.size}"
        headers["content-length"] = str(part.end - part.start)
        return Answer(206, Reason.SERVED, headers, await self._read(entry, part.start, part.end))

    async def _read(self, entry: TreeEntry, start: int, end: int) -> bytes | AsyncIterator[bytes]:
        """A small blob in one read, a large one as a stream."""
        if entry.size <= WHOLE_BYTES:
            return (await self._objects.get_blob(entry.sha1))[start:end]
        return await self._objects.stream_blob(entry.sha1, start, end)


_REASONS = {200: Reason.SERVED, 404: Reason.NO_SUCH_PATH, 410: Reason.GONE}


def _common(ask: Ask, published: Published) -> Fields:
    """Who may keep the answer, and what makes it old; briefly while the rules are unread."""
    tags = [site_tag(ask.site.id), deploy_tag(ask.deploy_id)]
    if ask.branch is not None:
        tags.append(branch_tag(ask.site.id, ask.branch))
    return {
        "cache-control": BROWSERS,
        "cdn-cache-control": NODES if published.whole else NODES_SHORT,
        "cache-tag": ",".join(tags),
        PLAN_FIELD: ask.site.plan.value,
    }


def _add_site_fields(headers: Fields, ask: Ask, published: Published, status: int) -> None:
    """What the site's header rules say of the path that the visitor asked for.

    How long a page may be kept is not taken for one that is missing: it has to
    be seen when it comes.
    """
    assert published.rules is not None
    own = published.rules.fields(ask.path)
    for name, value in own.fields.items():
        if status == 200 or name not in _CACHE_FIELDS:
            headers[name] = value
    tags = [custom_tag(ask.site.id, tag) for tag in own.tags]
    headers["cache-tag"] = ",".join([headers["cache-tag"], *tags])


def _move(move: Move, headers: Fields) -> Answer:
    if len(move.location) > MAX_LOCATION_CHARS:
        return problem(414, Reason.TOO_LONG, "This address is too long to lead elsewhere.")
    headers = {"content-type": "text/plain; charset=utf-8", **headers, "location": move.location}
    return Answer(move.status, Reason.REDIRECTED, headers, f"{move.location}\n".encode())


def _nothing(status: int) -> Answer:
    text = "Gone." if status == 410 else "Not found."
    return problem(status, _REASONS[status], text)


def _range_applies(fields: Fields, etag: str) -> bool:
    """A range is only for the representation named in If-Range (RFC 9110 section 13.1.5)."""
    return fields.get("if-range", etag) == etag
