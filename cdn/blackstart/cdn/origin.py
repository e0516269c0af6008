"""Asking the origin, and what its answer does to the cache (RFC 9111 sections 3 and 4.3)."""

from __future__ import annotations

from dataclasses import replace

from blackstart.cdn.fields.ranges import is_excessive
from blackstart.cdn.fields.validators import etag_of, is_strong
from blackstart.cdn.hop import Hop
from blackstart.cdn.loops import Passage
from blackstart.cdn.message import Relay, Request, Response, close_body, pieces
from blackstart.cdn.metrics import Metrics
from blackstart.cdn.outcome import Confirmed, Failed, Kept, Outcome, Unshared
from blackstart.cdn.purges import Purges
from blackstart.cdn.rules.decision import covers_errors, wishes_of
from blackstart.cdn.rules.invalidating import key_of
from blackstart.cdn.rules.policy import Policy
from blackstart.cdn.rules.storing import entry_of, storage_of
from blackstart.cdn.rules.validating import (
    completes,
    completion_of,
    confirms,
    describes,
    joined,
    updated,
    validation_of,
)
from blackstart.cdn.storage.cache import Cache
from blackstart.cdn.storage.entry import Entry
from blackstart.cdn.storage.fetch import Fetch
from blackstart.clock import Clock
from blackstart.errors import HopError, StorageError


class Origin:
    """The origin as a cache sees it: `ask` sends, judges and stores."""

    def __init__(
        self,
        clock: Clock,
        hop: Hop,
        cache: Cache,
        policy: Policy,
        passage: Passage,
        metrics: Metrics,
        *,
        purges: Purges,
        plan_header: str,
    ) -> None:
        self._clock = clock
        self._hop = hop
        self._cache = cache
        self.policy = policy
        self._passage = passage
        self._metrics = metrics
        self._purges = purges
        self._plan_header = plan_header.lower()

    def plan(self, response: Response) -> str:
        """The plan of the site that this response belongs to."""
        return self._cache.plan(response.headers.get(self._plan_header))

    async def send(self, request: Request) -> Response:
        """Pass a request on. Ranges that the node itself would ignore are not asked for.

        Raises: HopError
        """
        ranges = request.headers.joined("range")
        if ranges is not None and is_excessive(ranges):
            request = replace(request, headers=request.headers.without({"range", "if-range"}))
        asked_at = self._clock.time()
        try:
            response = await self._hop.send(self._passage.outward(request))
        except HopError as error:
            self._metrics.failed(error)
            raise
        self._metrics.origin.took(max(0.0, self._clock.time() - asked_at))
        if response.status >= 500:
            self._metrics.failed_itself()
        if isinstance(response.body, bytes):
            return response
        return replace(response, body=Relay(response.body, on_error=self._metrics.failed))

    async def _whole(self, request: Request) -> Response:
        """The same for a request whose answer may be kept.

        Raises: HopError; also when a body is not as long as it was announced.
        """
        response = await self.send(request)
        body, length = response.body, response.headers.get("content-length")
        has_body = request.method == "GET" and response.status not in (204, 304)
        if has_body and isinstance(body, bytes) and length not in (None, str(len(body))):
            raise HopError(f"the origin announced {length} bytes and sent {len(body)}")
        return response

    def public(self, response: Response) -> Response:
        """The response without what only nodes need to know."""
        if self._plan_header not in response.headers:
            return response
        return replace(response, headers=response.headers.without({self._plan_header}))

    async def ask(self, request: Request, held: Entry | None, fetch: Fetch) -> Outcome:
        """Ask for a page, for the rest of a held part, or whether a held page is still right."""
        asked_at = self._clock.time()
        ask = request
        if held is not None:
            ask = (validation_of if held.part is None else completion_of)(request, held)
        try:
            response = await self._whole(ask)
        except HopError as error:
            return Failed(error)
        now = self._clock.time()
        if response.status >= 500 and held is not None and self._is_covered(request, held, now):
            return Failed(response)
        if held is not None:
            judged = await self._judge(request, held, response, fetch, asked_at, now)
            if judged is not None:
                return judged
            if response.status in (304, 206, 416):
                # It is about some other version: ask for the page itself.
                await close_body(response.body)
                self._cache.drop([held])
                return await self.ask(request, None, fetch)
        return self._stored(ask, held, response, fetch, asked_at, now)

    async def _judge(
        self,
        request: Request,
        held: Entry,
        response: Response,
        fetch: Fetch,
        asked_at: float,
        now: float,
    ) -> Outcome | None:
        """What an answer says about the held response; None when that has to make way."""
        if held.part is not None:
            if response.status != 206 or not completes(response, held):
                return None
            return await self._completed(request, held, response, fetch, asked_at, now)
        if response.status == 304 and confirms(response, held):
            await close_body(response.body)
            return self._confirmed(request, held, response, fetch, asked_at, now)
        is_same = response.status == held.status
        if request.method == "HEAD" and (is_same or _proves_wrong(response)):
            if is_same and describes(response, held):
                self._confirmed(request, held, response, fetch, asked_at, now)
            else:
                held.stale = True
            return Unshared(response)
        return None

    def _confirmed(
        self,
        request: Request,
        held: Entry,
        response: Response,
        fetch: Fetch,
        asked_at: float,
        now: float,
    ) -> Outcome:
        entry, may_stay = updated(
            request, held, response, self.policy, asked_at=asked_at, received_at=now
        )
        if may_stay and self._cache.replace(held, entry, fetch):
            for twin in self._twins(entry, response):
                also, stays = updated(
                    request, twin, response, self.policy, asked_at=asked_at, received_at=now
                )
                if stays and also.selecting == twin.selecting:
                    self._cache.replace(twin, also, fetch)
            return Confirmed(entry, response.status)
        body = None if fetch.outdates(held.tags) else self._cache.peek(held)
        self._cache.drop([held])
        return Confirmed(entry, response.status, body)

    def _twins(self, entry: Entry, response: Response) -> list[Entry]:
        """The other variants of a page that a 304 with a strong tag is about as well (4.3.4)."""
        etag = etag_of(response.headers)
        if response.status != 304 or etag is None or not is_strong(etag):
            return []
        stored = self._cache.lookup(entry.key) or ()
        return [other for other in stored if other is not entry and etag_of(other.headers) == etag]

    async def _completed(
        self,
        request: Request,
        held: Entry,
        response: Response,
        fetch: Fetch,
        asked_at: float,
        now: float,
    ) -> Outcome | None:
        """A held beginning and the rest of it, as one response."""
        try:
            beginning = await self._cache.read(held)
        except StorageError:
            return None
        whole = joined(held, response)
        body = Relay(response.body, ahead=[piece async for piece in pieces(beginning)])
        whole = replace(whole, body=body)
        return self._stored(request, held, whole, fetch, asked_at, now)

    def _stored(
        self,
        ask: Request,
        held: Entry | None,
        response: Response,
        fetch: Fetch,
        asked_at: float,
        now: float,
    ) -> Outcome:
        """Begin to store what came, if that may be."""
        public = self.public(response)
        storage = storage_of(ask, response, now, self.policy)
        length = announced_bytes(response)
        if storage is not None and storage.part is not None:
            first, end, _ = storage.part
            if length is None:
                length = end - first
            elif length != end - first:
                storage = None  # Who knows which bytes of the page these are.
        if storage is not None:
            entry = entry_of(
                key_of(ask.host, ask.target),
                ask,
                public,
                storage,
                asked_at=asked_at,
                received_at=now,
                plan=self.plan(response),
            )
            if not fetch.outdates(entry.tags):
                intake = self._cache.intake(entry, fetch, length)
                is_whole = isinstance(response.body, bytes)
                own = [pair for pair in public.headers if pair[0] in storage.unkept_fields]
                leader = None if is_whole else intake.follow()
                return Kept(entry, intake, response, leader, tuple(own))
        if held is not None and _supersedes(ask, response):
            self._cache.drop([held])
        return Failed(public) if response.status >= 500 else Unshared(public)

    def _is_covered(self, request: Request, held: Entry, now: float) -> bool:
        wishes = wishes_of(request, self.policy)
        return covers_errors(held, now, wishes, self.policy, heard=self._purges.heard)


def announced_bytes(response: Response) -> int | None:
    """What Content-Length says, if it says something."""
    if isinstance(response.body, bytes):
        return len(response.body)
    length = (response.headers.get("content-length") or "").strip()
    return int(length) if length.isdecimal() and len(length) < 19 else None


def _supersedes(ask: Request, response: Response) -> bool:
    """Whether an answer that is not kept still proves an older copy wrong."""
    return ask.method == "GET" and _proves_wrong(response)


def _proves_wrong(response: Response) -> bool:
    """Whether it tells what a page is now, unlike an error or a refusal."""
    if response.status in (206, 304):
        return False
    return response.status < 400 or response.status in (404, 410)
