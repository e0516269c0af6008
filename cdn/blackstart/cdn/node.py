"""One caching node: answers from what it holds, else asks the origin. Knows no sockets."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace

import structlog

from blackstart.cdn.cache_status import STALE_IF_ERROR, STALE_WHILE_REVALIDATE, CacheStatus
from blackstart.cdn.complaints import Complaints
from blackstart.cdn.delivery import (
    age_of,
    from_cache,
    from_intake,
    from_memory,
    from_origin,
    no_answer,
)
from blackstart.cdn.fields.vary import selecting
from blackstart.cdn.flights import Flight, Flights, Slot
from blackstart.cdn.hop import Hop
from blackstart.cdn.loops import Passage, at_the_end
from blackstart.cdn.message import Relay, Request, Response, close_body, plain
from blackstart.cdn.metrics import Metrics
from blackstart.cdn.origin import Origin, announced_bytes
from blackstart.cdn.outcome import Confirmed, Failed, Kept, Outcome, serves
from blackstart.cdn.purges import Place, PlaceOfCache, Purges
from blackstart.cdn.rules.decision import (
    DEMANDS,
    VISITOR_CONDITIONS,
    Complete,
    Decision,
    Pass,
    Refuse,
    Reuse,
    Validate,
    covers_errors,
    current_age_s,
    decide,
    status_without_answer,
    wishes_of,
)
from blackstart.cdn.rules.invalidating import key_of
from blackstart.cdn.rules.policy import Policy
from blackstart.cdn.storage.cache import Cache
from blackstart.cdn.storage.entry import Entry
from blackstart.cdn.warm import Warm, WarmAnswer
from blackstart.cdn.watching import watch
from blackstart.clock import Clock
from blackstart.errors import HopError, StorageError

log = structlog.get_logger(__name__)

RECENT_KEYS = 1024
_SIMPLE_NOT = DEMANDS | VISITOR_CONDITIONS
# A fetch for a visitor with one of these says nothing about what others would get.
_PERSONAL = frozenset({"authorization", "range", "if-range"})


class Node:
    """A shared cache in front of one origin (RFC 9111).

    `policy` may be exchanged while the node runs. `plan_header` is the response
    header in which the origin names the site's plan; it never leaves the node.
    `identity` tells this node from others of its name. `lease_s` and `place`
    are for `Purges`; `tells_key` puts the cache key into Cache-Status.
    """

    def __init__(
        self,
        clock: Clock,
        hop: Hop,
        cache: Cache,
        *,
        name: str,
        policy: Policy | None = None,
        plan_header: str = "Blackstart-Plan",
        identity: str | None = None,
        lease_s: float | None = None,
        place: Place | None = None,
        tells_key: bool = False,
    ) -> None:
        self.clock = clock
        self.hop = hop
        self.cache = cache
        self.name = name
        self.metrics = Metrics(cache.memory.quotas.quotas)
        self.metrics.gauge(
            "heard",
            "1 while the node knows of all purges, 0 while it has to ask the origin about all",
            lambda: float(self.purges.heard),
        )
        watch(cache, self.metrics)
        self.purges = Purges(clock, self, place or PlaceOfCache(cache), lease_s=lease_s)
        self._policy = policy or Policy()
        self._passage = Passage(name, identity or name)
        self._origin = Origin(
            clock,
            hop,
            cache,
            self._policy,
            self._passage,
            self.metrics,
            purges=self.purges,
            plan_header=plan_header,
        )
        self._flights = Flights(clock, cache, self._origin)
        self._status = CacheStatus(name, tells_key=tells_key)
        self._warm = Warm()
        self._time = clock.time
        self._warm_answer = self._warm.answers.get
        cache.on_change = self._warm.drop
        self._complaints = Complaints(clock, log, "no answer from the origin")
        self._conditional_misses: OrderedDict[str, None] = OrderedDict()

    @property
    def policy(self) -> Policy:
        """What RFC 9111 leaves to whoever runs the node."""
        return self._policy

    @policy.setter
    def policy(self, policy: Policy) -> None:
        self._policy = self._origin.policy = policy

    async def start(self) -> None:
        """Find what an earlier run left on disk."""
        await self.cache.open()
        await self.purges.open()
        if self.purges.heard:
            # Nobody sends this node purges, so that it can have missed none.
            self.cache.trust_found()

    async def close(self) -> None:
        """Call off what is under way, free the hop and bring the cache to disk."""
        await self._flights.close()
        self._complaints.close()
        await self.hop.close()
        await self.cache.close()

    async def purge(self, tags: Iterable[str], *, soft: bool = False) -> int:
        """Forget whatever carries one of the tags; returns how many entries that were.

        A soft purge keeps them, stale: good for no more than to cover for a failing origin.
        """
        self._flights.close_to_joiners(None)
        return self._purged(await self.cache.purge(tags, soft=soft))

    async def purge_keys(self, keys: Iterable[str], *, soft: bool = False) -> int:
        """The same for pages by their keys."""
        keys = list(keys)
        self._flights.close_to_joiners(keys)
        return self._purged(await self.cache.purge_keys(keys, soft=soft))

    async def purge_prefixes(self, prefixes: Iterable[str], *, soft: bool = False) -> int:
        """The same for all pages whose keys begin so."""
        self._flights.close_to_joiners(None)
        return self._purged(await self.cache.purge_prefixes(prefixes, soft=soft))

    async def purge_all(self, *, soft: bool = False) -> int:
        """Forget everything; returns how many entries that were."""
        self._flights.close_to_joiners(None)
        return self._purged(await self.cache.purge_all(soft=soft))

    def _purged(self, entries: int) -> int:
        self.metrics.purges += 1
        self.metrics.purged += entries
        return entries

    async def forget_unread(self) -> None:
        """Forget also what an earlier run left where this one cannot read it."""
        await self.cache.forget_unread()

    def trust_found(self) -> None:
        """No purge was missed of what was found at the start."""
        self.cache.trust_found()

    # Answers ------------------------------------------------------------------------------

    def quick(self, request: Request) -> Response | None:
        """The answer that needs no waiting: a fresh one from memory. None: ask `answer`."""
        method = request.method
        if (method != "GET" and method != "HEAD") or request.body:
            return None
        now = self._time()
        if now >= self.purges.trusted_until:
            return None
        key = key_of(request.host, request.target)
        warm = self._warm_answer(key)
        is_plain = method == "GET" and not request.headers.has_any(_SIMPLE_NOT)
        if warm is None or not is_plain or now >= warm.until or warm.entry.stale:
            return self._quick_decided(request, key, now, is_plain)
        counts = warm.counts
        counts.hits += 1
        counts.sent_bytes += warm.size
        return warm.response

    def _quick_decided(
        self, request: Request, key: str, now: float, is_plain: bool
    ) -> Response | None:
        """The same for what has no warm answer; a plain request leaves one behind."""
        stored = self.cache.lookup(key)
        if not stored:
            return None
        decision = decide(request, stored, now, self._policy)
        if not isinstance(decision, Reuse) or decision.stale:
            return None
        entry = decision.entry
        body = self.cache.peek(entry)
        if body is None:
            return None
        status = self._hit_status(entry, now)
        response = from_memory(request, entry, body, age_of(entry, now), status)
        counts = self.metrics.plans[entry.plan]
        counts.hits += 1
        if isinstance(response.body, bytes):
            counts.sent_bytes += len(response.body)
        if is_plain and len(stored) == 1 and not entry.selecting and entry.part is None:
            age_s = current_age_s(entry, now)
            until = now + min(1.0 - age_s % 1.0, entry.lifetime_s - age_s)
            self._warm.keep(key, WarmAnswer(response, until, entry, counts))
        return response

    def _hit_status(self, entry: Entry, now: float, detail: str = "") -> tuple[str, str]:
        ttl_s = entry.lifetime_s - current_age_s(entry, now)
        return "cache-status", self._status.hit(entry.key, ttl_s, detail)

    async def answer(self, request: Request) -> Response:
        """Answer a visitor. Never raises for a failing origin: that is a 502, or a stale copy."""
        if self._passage.is_loop(request):
            return plain(508, f"508 Loop Detected: this request was here before (node {self.name})")
        limited = at_the_end(request)
        if limited is not None:
            return limited
        return await self._answer(request)

    async def _answer(self, request: Request, after: Flight | None = None) -> Response:
        """Answer by what is stored now; `after` is a flight that was no help."""
        key = key_of(request.host, request.target)
        stored = self.cache.lookup(key)
        if stored is None:
            stored = await self.cache.find(key)
        now = self.clock.time()
        decision = decide(request, stored, now, self._policy, heard=self.purges.heard)
        if isinstance(decision, Reuse):
            try:
                return await self._reused(request, key, decision, now)
            except StorageError as error:
                log.warning("a stored response was lost", key=key, error=str(error))
                return await self._answer(request, after)
        if isinstance(decision, Pass):
            return await self._passed(request, key, decision.reason)
        if isinstance(decision, Refuse):
            refusal = plain(504, f"504 Gateway Timeout: no such page is stored (node {self.name})")
            return self._own(
                refusal, self._status.forwarded(key, "request", detail="only-if-cached")
            )
        return await self._forwarded(request, key, decision, after)

    async def _reused(self, request: Request, key: str, decision: Reuse, now: float) -> Response:
        entry = decision.entry
        if decision.stale:
            self._refresh(request, key, entry)
            self.metrics.plans[entry.plan].stale += 1
            status = self._hit_status(entry, now, STALE_WHILE_REVALIDATE)
        else:
            self.metrics.plans[entry.plan].hits += 1
            status = self._hit_status(entry, now)
        return await self._from_entry(request, entry, now, status)

    async def _from_entry(
        self, request: Request, entry: Entry, now: float, status: tuple[str, str]
    ) -> Response:
        body = self.cache.peek(entry)
        fields = (age_of(entry, now), status)
        if body is not None:
            response = from_memory(request, entry, body, *fields)
        else:
            response = await from_cache(request, entry, self.cache, *fields)
        return self._counted(response, entry.plan)

    def _refresh(self, request: Request, key: str, entry: Entry) -> None:
        """Validate a response in the background (RFC 5861 section 3), once at a time."""
        slot = key, entry.selecting
        if self._flights.of(slot) is None:
            anybody = replace(request, method="GET", interim=None)
            self._flights.start(slot, anybody, entry, shared=True)

    # From the origin ----------------------------------------------------------------------

    async def _passed(self, request: Request, key: str, reason: str) -> Response:
        """Hand a request to the origin and its answer to the visitor, with what that changes."""
        try:
            response = await self._origin.pass_on(request, self._invalidate)
        except HopError as error:
            return self._no_answer(request, key, error, reason)
        plan = self._origin.plan(response)
        self._missed(plan)
        status = self._status.forwarded(key, reason, response.status)
        public = self._origin.public(response)
        answer = Response(public.status, public.headers.plus(("cache-status", status)), public.body)
        return self._counted(answer, plan)

    def _invalidate(self, keys: list[str]) -> None:
        self._flights.close_to_joiners(keys)
        self.cache.invalidate(keys)

    async def _forwarded(
        self, request: Request, key: str, decision: Decision, after: Flight | None
    ) -> Response:
        """Ask the origin, or wait with others for what it says to one of them."""
        held = decision.entry if isinstance(decision, Validate | Complete) else None
        reason = _reason(decision)
        ask, is_shared = self._ask(request, key, decision)
        slot = self._slot(request, key, held, after)
        flight = self._flights.of(slot) if is_shared else None
        if flight is not None and (flight is after or not self.purges.may_share(flight.begun_at)):
            flight = None
        if flight is not None:
            outcome = await flight.landed()
            if not serves(outcome, request):
                return await self._answer(request, after=flight)
            return await self._from_outcome(request, key, held, outcome, reason, collapsed=True)
        flight = self._flights.start(slot, ask, held, shared=is_shared)
        try:
            outcome = await flight.landed()
        except asyncio.CancelledError:
            await flight.abandon()
            raise
        return await self._from_outcome(request, key, held, outcome, reason)

    def _slot(self, request: Request, key: str, held: Entry | None, after: Flight | None) -> Slot:
        """Who waits with whom: only those whom one answer can serve, where that is known.

        Visitors who want different variants would else wait for one after the other.
        """
        if held is not None:
            return key, held.selecting
        names = after.varies if after is not None else ()
        if not names and (stored := self.cache.lookup(key)):
            names = tuple([name for name, _ in stored[0].selecting])
        return key, selecting(names, request.headers)

    def _ask(self, request: Request, key: str, decision: Decision) -> tuple[Request, bool]:
        """What to ask, and whether the answer may do for others who ask for the page."""
        wishes = wishes_of(request, self._policy)
        alike = not (request.headers.has_any(_PERSONAL) or wishes.no_cache or wishes.no_store)
        if request.method != "GET" or not alike or self._flights.is_private(key):
            return request, False
        if isinstance(decision, Validate) or not request.headers.has_any(VISITOR_CONDITIONS):
            return request, True
        if key in self._conditional_misses:
            # Asked for twice: worth a copy of its own, which then meets all such conditions.
            del self._conditional_misses[key]
            return replace(request, headers=request.headers.without(VISITOR_CONDITIONS)), True
        self._conditional_misses[key] = None
        if len(self._conditional_misses) > RECENT_KEYS:
            self._conditional_misses.popitem(last=False)
        return request, False

    async def _from_outcome(
        self,
        request: Request,
        key: str,
        held: Entry | None,
        outcome: Outcome,
        reason: str,
        *,
        collapsed: bool = False,
    ) -> Response:
        now = self.clock.time()
        if isinstance(outcome, Kept):
            entry, response = outcome.entry, outcome.response
            self._missed(entry.plan, collapsed)
            stored, detail = outcome.stored(collapsed), outcome.detail
            status = self._status.forwarded(
                key, reason, response.status, stored=stored, collapsed=collapsed, detail=detail
            )
            fields = [*(() if collapsed else outcome.own), ("cache-status", status)]
            if collapsed or "age" in response.headers:
                fields.append(age_of(entry, now))
            if isinstance(response.body, bytes):
                body = response.body
                return self._counted(from_memory(request, entry, body, *fields), entry.plan)
            follower = outcome.intake.follow() if collapsed else outcome.leader
            assert follower is not None
            length = announced_bytes(response)
            answer = await from_intake(request, entry, follower, length, *fields)
            return self._counted(answer, entry.plan)
        if isinstance(outcome, Confirmed):
            return await self._from_confirmed(request, key, outcome, reason, collapsed, now)
        if isinstance(outcome, Failed):
            return await self._from_failure(request, key, held, outcome, reason, collapsed, now)
        plan = self._origin.plan(outcome.response)
        self._missed(plan, collapsed)
        status = self._status.forwarded(key, reason, outcome.response.status, detail=outcome.detail)
        answer = await from_origin(request, outcome.response, ("cache-status", status))
        return self._counted(answer, plan)

    async def _from_confirmed(
        self,
        request: Request,
        key: str,
        outcome: Confirmed,
        reason: str,
        collapsed: bool,
        now: float,
    ) -> Response:
        entry = outcome.entry
        self._missed(entry.plan, collapsed)
        status = self._status.forwarded(key, reason, outcome.status, collapsed=collapsed)
        if outcome.body is not None:
            fields = (age_of(entry, now), ("cache-status", status))
            return self._counted(from_memory(request, entry, outcome.body, *fields), entry.plan)
        try:
            return await self._from_entry(request, entry, now, ("cache-status", status))
        except StorageError as error:
            log.warning("a stored response was lost", key=key, error=str(error))
            return await self._answer(request)

    async def _from_failure(
        self,
        request: Request,
        key: str,
        held: Entry | None,
        failed: Failed,
        reason: str,
        collapsed: bool,
        now: float,
    ) -> Response:
        """A stale copy in the place of an error, or the error; one error serves all who waited."""
        cause = failed.cause
        wishes = wishes_of(request, self._policy)
        heard = self.purges.heard
        if held is not None and covers_errors(held, now, wishes, self._policy, heard=heard):
            if isinstance(cause, Response) and not collapsed:
                await close_body(cause.body)
            status = self._status.forwarded(
                key, reason, failed.status, collapsed=collapsed, detail=STALE_IF_ERROR
            )
            self.metrics.plans[held.plan].stale += 1
            self.metrics.plans[held.plan].collapsed += collapsed
            try:
                return await self._from_entry(request, held, now, ("cache-status", status))
            except StorageError as error:
                log.warning("a stale copy was lost", key=held.key, error=str(error))
        if isinstance(cause, HopError):
            silence = status_without_answer(cause, held)
            return self._no_answer(request, key, cause, reason, status=silence, collapsed=collapsed)
        self._missed(self._origin.plan(cause), collapsed)
        if collapsed:
            text = f"{cause.status}: the origin failed a moment ago"
            status = self._status.forwarded(key, reason, cause.status, collapsed=True)
            return self._own(plain(cause.status, text), status)
        public = self._origin.public(cause)
        status = self._status.forwarded(key, reason, cause.status)
        return Response(public.status, public.headers.plus(("cache-status", status)), public.body)

    def _no_answer(
        self,
        request: Request,
        key: str,
        error: HopError,
        reason: str,
        *,
        status: int | None = None,
        collapsed: bool = False,
    ) -> Response:
        self._complaints.warn(host=request.host, error=str(error))
        self._missed(self.cache.plan(None), collapsed)
        refusal = no_answer(self.name, status or error.status, "no answer from the origin")
        told = self._status.forwarded(key, reason, collapsed=collapsed, detail=error.kind)
        return self._own(refusal, told)

    def _own(self, response: Response, status: str) -> Response:
        return replace(response, headers=response.headers.plus(("cache-status", status)))

    def _missed(self, plan: str, collapsed: bool = False) -> None:
        counts = self.metrics.plans[plan]
        counts.misses += 1
        counts.collapsed += collapsed

    def _counted(self, response: Response, plan: str) -> Response:
        counts = self.metrics.plans[plan]
        if isinstance(response.body, bytes):
            counts.sent_bytes += len(response.body)
            return response
        return replace(response, body=Relay(response.body, on_chunk=counts.sent))


def _reason(decision: Decision) -> str:
    if isinstance(decision, Complete):
        return "partial"
    assert not isinstance(decision, Reuse | Refuse)
    return decision.reason
