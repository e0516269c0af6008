"""Asking the origin, and what its answer does to the cache (RFC 9111 sections 3 and 4.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from blackstart.cdn.fields.ranges import is_excessive
from blackstart.cdn.fields.validators import etag_of, is_strong
from blackstart.cdn.hop import Hop
from blackstart.cdn.loops import Passage
from blackstart.cdn.message import Relay, Request, Response, close_body, pieces, whole_body
from blackstart.cdn.metrics import Metrics
from blackstart.cdn.outcome import Confirmed, Failed, Kept, Outcome, Unshared
from blackstart.cdn.purges import Purges
from blackstart.cdn.rules.decision import covers_errors, wishes_of
from blackstart.cdn.rules.invalidating import key_of, keys_made_invalid
from blackstart.cdn.rules.parts import joint, joint_body, page_of, partner_of
from blackstart.cdn.rules.policy import Policy
from blackstart.cdn.rules.storing import Storage, entry_of, judge, storage_of_post, tags_of
from blackstart.cdn.rules.validating import (
    completes,
    completion_of,
    confirms,
    describes,
    joined,
    updated,
    validation_of,
)
from blackstart.cdn.rules.variants import adopted, candidates_of, choice_of, chosen_by
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
        candidates: list[Entry] = []
        if held is None:
            stored = self._cache.lookup(key_of(request.host, request.target))
            candidates = candidates_of(request, stored or ())
        return await self._ask(request, held, candidates, fetch)

    async def _ask(
        self, request: Request, held: Entry | None, candidates: list[Entry], fetch: Fetch
    ) -> Outcome:
        asked_at = self._clock.time()
        ask = choice_of(request, candidates) if candidates else request
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
                return await self._ask(request, None, [], fetch)
        if candidates and response.status == 304:
            await close_body(response.body)
            chosen = await self._chosen(request, candidates, response, fetch, asked_at, now)
            return chosen or await self._ask(request, None, [], fetch)
        return self._stored(request if candidates else ask, held, response, fetch, asked_at, now)

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
                self._cache.doubt(held)
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
        if not may_stay and wishes_of(request, self.policy).no_store:
            # This visitor wants nothing of the exchange kept; the copy is as good as it was.
            return Confirmed(held, response.status)
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

    async def _chosen(
        self,
        request: Request,
        candidates: list[Entry],
        response: Response,
        fetch: Fetch,
        asked_at: float,
        now: float,
    ) -> Outcome | None:
        """What a 304 says to a request that no variant fitted; None: nothing that is held."""
        chosen = chosen_by(response, candidates)
        if chosen is None or not chosen.held or fetch.outdates(chosen.tags):
            return None
        try:
            body = await whole_body(await self._cache.read(chosen))
        except StorageError:
            return None
        entry, may_stay = adopted(
            request, chosen, response, self.policy, asked_at=asked_at, received_at=now
        )
        if chosen.held and not fetch.outdates(chosen.tags):
            self._confirmed(request, chosen, response, fetch, asked_at, now)
        kept = may_stay and self._cache.store(entry, fetch, body)
        return Confirmed(entry, response.status, None if kept else body)

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
        """A held beginning or end and the rest of it, as one response."""
        try:
            part = [piece async for piece in pieces(await self._cache.read(held))]
        except StorageError:
            return None
        whole = joined(held, response)
        assert held.part is not None
        if held.part[0] == 0:
            body = Relay(response.body, ahead=part)
        else:
            body = Relay(response.body, behind=part)
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
        storage = judge(ask, response, now, self.policy)
        length = announced_bytes(response)
        if isinstance(storage, Storage) and storage.part is not None:
            first, end, _ = storage.part
            if length is None:
                length = end - first
            elif length != end - first:
                storage = "content-range"  # Who knows which bytes of the page these are.
        if isinstance(storage, Storage):
            plan = self.plan(response)
            page = page_of(ask, public, storage.part)
            if page is not None:
                storage = replace(storage, part=None)
                response = replace(response, headers=page.headers)
            entry = entry_of(
                key_of(ask.host, ask.target),
                ask,
                page or public,
                storage,
                asked_at=asked_at,
                received_at=now,
                plan=plan,
            )
            if not fetch.outdates(entry.tags):
                is_other = held is not None and held.selecting != entry.selecting
                if held is not None and is_other and _supersedes(ask, response):
                    self._cache.drop([held])  # The new one does not displace it by itself.
                intake = self._cache.intake(entry, fetch, length)
                is_whole = isinstance(response.body, bytes)
                own = [pair for pair in public.headers if pair[0] in storage.unkept_fields]
                leader = None if is_whole else intake.follow()
                return Kept(entry, intake, response, leader, tuple(own))
            storage = "purged"
        if held is not None and _supersedes(ask, response):
            self._cache.drop([held])
        return Failed(public) if response.status >= 500 else Unshared(public, storage)

    async def pass_on(self, request: Request, invalidate: Callable[[list[str]], None]) -> Response:
        """Send a request that nothing stored can answer, and have `invalidate` what it changed.

        Raises: HopError
        """
        asked_at = self._clock.time()
        fetch = self._cache.begin(key_of(request.host, request.target))
        try:
            response = await self.send(request)
            # After a purge, or another write, it may not be what the page is now.
            outdated = fetch.outdates(tags_of(response.headers))
        finally:
            self._cache.end(fetch)
        keys = keys_made_invalid(request, response)
        if keys:
            invalidate(keys)
        if not outdated:
            self._keep_posted(request, response, asked_at)
        return response

    def _keep_posted(self, request: Request, response: Response, asked_at: float) -> None:
        """Keep the answer to a POST for those who get the page, where it says so and is short."""
        now = self._clock.time()
        storage = storage_of_post(request, response, now, self.policy)
        if storage is None or not isinstance(response.body, bytes):
            return
        key = key_of(request.host, request.target)
        entry = entry_of(
            key,
            request,
            self.public(response),
            storage,
            asked_at=asked_at,
            received_at=now,
            plan=self.plan(response),
        )
        fetch = self._cache.begin(key)
        self._cache.store(entry, fetch, response.body)
        self._cache.end(fetch)

    async def join(self, entry: Entry, fetch: Fetch) -> None:
        """Put a part that was just stored together with those it meets (section 3.4)."""
        while entry.held:
            other = partner_of(entry, self._cache.lookup(entry.key) or ())
            if other is None:
                return
            try:
                new = await whole_body(await self._cache.read(entry))
                old = await whole_body(await self._cache.read(other))
            except StorageError:
                return
            if not (entry.held and other.held) or fetch.outdates(other.tags):
                return
            both = joint(entry, other)
            if not self._cache.store(both, fetch, joint_body(entry, other, new, old)):
                return
            self._cache.drop([entry, other])
            entry = both

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
