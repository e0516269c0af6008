"""One caching node: answers from what it holds, else asks the origin. Knows no sockets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import structlog

from blackstart.cdn.admission import Admission
from blackstart.cdn.cache_status import CacheStatus
from blackstart.cdn.conditional import (
    VISITOR_CONDITIONS,
    is_not_modified,
    not_modified_headers,
    same_tag,
)
from blackstart.cdn.entry import Entry
from blackstart.cdn.hop import Hop
from blackstart.cdn.message import Relay, Request, Response, close_body, gather_body, plain
from blackstart.cdn.metrics import Metrics
from blackstart.cdn.store import Cache, Fetch
from blackstart.clock import Clock
from blackstart.errors import HopError

log = structlog.get_logger(__name__)

DAY_S = 86_400.0

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
# Requests with one of these are the origin's to answer, and their answers nobody else's.
_BYPASS = frozenset({"authorization", "range", "if-match", "if-unmodified-since", "if-range"})


class Node:
    """A shared cache in front of one origin (RFC 9111).

    `stale_if_error` may be switched while the node runs. `stale_window_s` is how
    long past its lifetime a copy may cover for a failing origin when the response
    does not say (RFC 5861). `plan_header` is the response header in which the
    origin names the site's plan; it never leaves the node.
    """

    def __init__(
        self,
        clock: Clock,
        hop: Hop,
        cache: Cache,
        *,
        name: str,
        stale_if_error: bool = True,
        stale_window_s: float = DAY_S,
        plan_header: str = "Blackstart-Plan",
    ) -> None:
        self.clock = clock
        self.hop = hop
        self.cache = cache
        self.name = name
        self.stale_if_error = stale_if_error
        self.metrics = Metrics(cache.memory.quotas.quotas)
        cache.on_evict = self.metrics.evicted
        self.metrics.watch("memory", cache.memory.quotas)
        if cache.disk is not None:
            self.metrics.watch("disk", cache.disk.quotas)
        self._admission = Admission(plan_header, cache.plan, stale_window_s)
        self._status = CacheStatus(name)
        self._via = ("via", f"1.1 {name}")

    async def start(self) -> None:
        """Find what an earlier run left on disk."""
        await self.cache.open()

    async def close(self) -> None:
        """Free the hop and bring the cache to disk."""
        await self.hop.close()
        await self.cache.close()

    async def purge(self, tags: Iterable[str]) -> int:
        """Forget whatever carries one of the tags; returns how many entries that were."""
        return await self.cache.purge(tags)

    async def purge_all(self) -> int:
        """Forget everything; returns how many entries that were."""
        return await self.cache.purge_all()

    async def handle(self, request: Request) -> Response:
        """Answer a visitor. Never raises for a failing origin: that is a 502, or a stale copy."""
        if request.method not in ("GET", "HEAD"):
            return await self._pass(request, "method")
        if request.headers.has_any(_BYPASS):
            return await self._pass(request, "bypass")
        held = self.cache.find_in_memory(request)
        if held is None and self.cache.disk is not None:
            held = await self.cache.find_on_disk(request)
        if held is not None:
            now = self.clock.time()
            if held.is_fresh(now):
                self.metrics.hits[held.plan].inc()
                return await self._from_entry(request, held, now, self._status.hit)
        fetch = self.cache.begin(request)
        try:
            return await self._fetch(request, held, fetch)
        finally:
            self.cache.end(fetch)

    async def _pass(self, request: Request, reason: str) -> Response:
        """Hand a request to the origin and its answer to the visitor, and keep nothing."""
        ask = replace(request, headers=request.headers.plus(self._via))
        try:
            response = await self.hop.send(ask)
        except HopError as error:
            self._note(request, error)
            return await self._no_answer(request, reason)
        if response.status >= 500:
            self.metrics.status_errors.inc()
        elif request.method not in _SAFE_METHODS and response.status < 400:
            self.cache.invalidate(request)
        return await self._forwarded(request, response, reason)

    async def _fetch(self, request: Request, held: Entry | None, fetch: Fetch) -> Response:
        """Ask the origin for a page that is not held, or held too long."""
        reason = "miss" if held is None else "stale"
        ask = self._ask_of(request, held)
        asked_at = self.clock.time()
        try:
            response = await self.hop.send(ask)
            storage = self._admission.storage(ask, response)
            if storage is not None:
                response = await self._whole(response)
        except HopError as error:
            self._note(request, error)
            covered = await self._covered(request, held, fetch)
            return covered or await self._no_answer(request, reason)
        if response.status >= 500:
            self.metrics.status_errors.inc()
            covered = await self._covered(request, held, fetch)
            if covered is not None:
                await close_body(response.body)
                return covered
        if held is not None and response.status == 304:
            await close_body(response.body)
            return await self._confirmed(request, ask, held, response, asked_at, fetch)
        stored = False
        if storage is not None and isinstance(response.body, bytes):
            entry = self._admission.entry(
                ask, response, response.body, storage, asked_at, self.clock.time()
            )
            stored = self.cache.put(entry, fetch)
        if held is not None and not stored and _supersedes(response):
            self.cache.drop([held.key])
        return await self._forwarded(request, response, reason, stored=stored)

    def _ask_of(self, request: Request, held: Entry | None) -> Request:
        """What to ask the origin: always the whole page, unless it is still what is held."""
        headers = request.headers.without(VISITOR_CONDITIONS).plus(self._via)
        etag = held.headers.get("etag") if held is not None else None
        if etag is not None:
            headers = headers.plus(("if-none-match", etag))
        return Request("GET", request.target, request.host, headers)

    async def _whole(self, response: Response) -> Response:
        """The response with its body in one piece, if that is not too large to keep.

        Raises: HopError when the origin sent less or more than it announced.
        """
        limit_bytes = self.cache.max_body_bytes
        length = response.headers.get("content-length") or ""
        announced = int(length) if length.isdecimal() else None
        if announced is not None and announced > limit_bytes:
            return response
        body = await gather_body(response.body, limit_bytes)
        if announced is not None and isinstance(body, bytes) and len(body) != announced:
            raise HopError(f"the origin announced {announced} bytes and sent {len(body)}")
        return Response(response.status, response.headers, body)

    async def _confirmed(
        self,
        request: Request,
        ask: Request,
        held: Entry,
        response: Response,
        asked_at: float,
        fetch: Fetch,
    ) -> Response:
        """Answer with the held copy, which the origin's 304 confirmed."""
        etag = response.headers.get("etag")
        if etag is not None and not same_tag(etag, held.headers.get("etag") or ""):
            # A 304 for some other version confirms nothing: ask for the page itself.
            self.cache.drop([held.key])
            return await self._fetch(request, None, fetch)
        now = self.clock.time()
        entry, keep = self._admission.refreshed(ask, held, response, asked_at, now)
        if not keep or entry.key != held.key:
            self.cache.drop([held.key])
        if keep and not fetch.outdates(held.tags):
            self.cache.put(entry, fetch)
        self.metrics.misses[entry.plan].inc()
        return await self._from_entry(request, entry, now, self._status.forwarded("stale", 304))

    async def _covered(self, request: Request, held: Entry | None, fetch: Fetch) -> Response | None:
        """The stale copy in the place of an error, when there is one that may be used."""
        now = self.clock.time()
        if held is None or not self.stale_if_error or not held.covers_errors(now):
            return None
        if fetch.outdates(held.tags):
            return None
        self.metrics.stale[held.plan].inc()
        return await self._from_entry(request, held, now, self._status.stale)

    def _note(self, request: Request, error: HopError) -> None:
        self.metrics.hop_errors.inc()
        log.warning("no answer from the origin", host=request.host, error=str(error))

    async def _no_answer(self, request: Request, reason: str) -> Response:
        response = plain(502, f"502 Bad Gateway: node {self.name} got no answer from its origin")
        status = self._status.forwarded(reason)
        return await self._deliver(request, response, status, self.cache.plan(None))

    async def _forwarded(
        self, request: Request, response: Response, reason: str, *, stored: bool = False
    ) -> Response:
        plan = self._admission.plan(response)
        self.metrics.misses[plan].inc()
        status = self._status.forwarded(reason, response.status, stored)
        headers = self._admission.public(response.headers)
        return await self._deliver(
            request, Response(response.status, headers, response.body), status, plan
        )

    async def _from_entry(
        self, request: Request, entry: Entry, now: float, status: str
    ) -> Response:
        headers = entry.headers.plus(("age", str(int(entry.age_s(now)))))
        response = Response(entry.status, headers, entry.body)
        return await self._deliver(request, response, status, entry.plan)

    async def _deliver(
        self, request: Request, response: Response, status: str, plan: str
    ) -> Response:
        """What the visitor gets of a whole response: all, its headers only, or a 304."""
        headers = response.headers.plus(("cache-status", status))
        body = response.body
        if request.method == "GET" or request.method == "HEAD":
            asked = request.headers
            conditional = response.status == 200 and asked.has_any(VISITOR_CONDITIONS)
            if conditional and is_not_modified(asked, headers):
                await close_body(body)
                return Response(304, not_modified_headers(headers))
            if request.method == "HEAD":
                await close_body(body)
                return Response(response.status, headers)
        sent = self.metrics.bytes[plan]
        if not isinstance(body, bytes):
            return Response(response.status, headers, Relay(body, on_chunk=sent.inc))
        sent.inc(len(body))
        return Response(response.status, headers, body)


def _supersedes(response: Response) -> bool:
    """Whether an answer that is not kept still proves an older copy wrong."""
    return response.status < 400 or response.status in (404, 410)
