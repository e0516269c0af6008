"""One caching node: answers from what it holds, else asks the origin. Knows no sockets."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace

import structlog

from blackstart.cdn.answers import Answers, Asked
from blackstart.cdn.fields.vary import selecting
from blackstart.cdn.flights import Flight, Flights, Slot
from blackstart.cdn.hop import Hop
from blackstart.cdn.loops import Passage, at_the_end
from blackstart.cdn.message import Request, Response, plain
from blackstart.cdn.metrics import Metrics
from blackstart.cdn.origin import Origin
from blackstart.cdn.outcome import Outcome, serves
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
    current_age_s,
    decide,
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
# A longer one than any that asks for a single range is for its visitor alone.
_LONGEST_RANGE = 64


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
        self._answers = Answers(
            clock, cache, self._origin, self.purges, self.metrics, name=name, tells_key=tells_key
        )
        self._warm = Warm()
        self._time = clock.time
        self._warm_answer = self._warm.answers.get
        cache.on_change = self._warm.drop
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
        self._answers.close()
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
        response = self._answers.at_hand(request, entry, body, now)
        if is_plain and len(stored) == 1 and not entry.selecting and entry.part is None:
            age_s = current_age_s(entry, now)
            until = now + min(1.0 - age_s % 1.0, entry.lifetime_s - age_s)
            counts = self.metrics.plans[entry.plan]
            self._warm.keep(key, WarmAnswer(response, until, entry, counts))
        return response

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
            entry, stale = decision.entry, decision.stale
            if stale:
                self._refresh(request, key, entry)
            try:
                return await self._answers.reused(request, entry, now, stale=stale)
            except StorageError as error:
                return await self._again(request, key, error, after)
        if isinstance(decision, Pass):
            return await self._passed(Asked(request, key, decision.reason))
        if isinstance(decision, Refuse):
            return self._answers.not_stored(key)
        return await self._forwarded(request, key, decision, after)

    async def _again(
        self, request: Request, key: str, error: StorageError, after: Flight | None = None
    ) -> Response:
        """Answer by what is stored without what has just proved to be lost."""
        log.warning("a stored response was lost", key=key, error=str(error))
        return await self._answer(request, after)

    def _refresh(self, request: Request, key: str, entry: Entry) -> None:
        """Validate a response in the background (RFC 5861 section 3), once at a time."""
        slot = Slot(key, entry.selecting)
        if self._flights.of(slot) is None:
            anybody = replace(request, method="GET", interim=None)
            self._flights.start(slot, anybody, entry, shared=True)

    # From the origin ----------------------------------------------------------------------

    async def _passed(self, asked: Asked) -> Response:
        """Hand a request to the origin and its answer to the visitor, with what that changes."""
        try:
            response = await self._origin.pass_on(asked.request, self._invalidate)
        except HopError as error:
            return self._answers.no_answer(asked, error)
        return self._answers.passed(asked, response)

    def _invalidate(self, keys: list[str]) -> None:
        self._flights.close_to_joiners(keys)
        self.cache.invalidate(keys)

    async def _forwarded(
        self, request: Request, key: str, decision: Decision, after: Flight | None
    ) -> Response:
        """Ask the origin, or wait with others for what it says to one of them."""
        held = decision.entry if isinstance(decision, Validate | Complete) else None
        reason = _reason(decision)
        slot = self._slot(request, key, held, after)
        ask, is_shared = self._ask(request, slot, decision)
        flight = self._flights.of(slot) if is_shared else None
        if flight is not None and (flight is after or not self.purges.may_share(flight.begun_at)):
            flight = None
        if flight is not None:
            outcome = await flight.landed()
            if not serves(outcome, request):
                return await self._answer(request, after=flight)
            return await self._landed(Asked(request, key, reason, held, collapsed=True), outcome)
        flight = self._flights.start(slot, ask, held, shared=is_shared)
        try:
            outcome = await flight.landed()
        except asyncio.CancelledError:
            await flight.abandon()
            raise
        return await self._landed(Asked(request, key, reason, held), outcome)

    async def _landed(self, asked: Asked, outcome: Outcome) -> Response:
        try:
            return await self._answers.landed(asked, outcome)
        except StorageError as error:
            return await self._again(asked.request, asked.key, error)

    def _slot(self, request: Request, key: str, held: Entry | None, after: Flight | None) -> Slot:
        """Who waits with whom: only those whom one answer can serve, where that is known.

        Visitors who want different variants would else wait for one after the other.
        """
        if held is not None:
            return Slot(key, held.selecting)
        names = after.varies if after is not None else ()
        if not names and (stored := self.cache.lookup(key)):
            names = tuple([name for name, _ in stored[0].selecting])
        return Slot(key, selecting(names, request.headers), request.headers.joined("range"))

    def _ask(self, request: Request, slot: Slot, decision: Decision) -> tuple[Request, bool]:
        """What to ask, and whether the answer may do for others who ask for the same."""
        key, headers, wishes = slot.key, request.headers, wishes_of(request, self._policy)
        alike = not ("authorization" in headers or wishes.no_cache or wishes.no_store)
        if request.method != "GET" or not alike or self._flights.is_private(slot):
            return request, False
        if isinstance(decision, Validate):
            return request, True  # The question is without what the visitor wants of the page.
        if "if-range" in headers or not _is_single(slot.range):
            return request, False
        if not headers.has_any(VISITOR_CONDITIONS):
            return request, True
        if key in self._conditional_misses:
            # Asked for twice: worth a copy of its own, which then meets all such conditions.
            del self._conditional_misses[key]
            return replace(request, headers=headers.without(VISITOR_CONDITIONS)), True
        self._conditional_misses[key] = None
        if len(self._conditional_misses) > RECENT_KEYS:
            self._conditional_misses.popitem(last=False)
        return request, False


def _is_single(asked: str | None) -> bool:
    """Whether no more than one range is asked for."""
    return asked is None or ("," not in asked and len(asked) <= _LONGEST_RANGE)


def _reason(decision: Decision) -> str:
    if isinstance(decision, Complete):
        return "partial"
    assert not isinstance(decision, Reuse | Refuse)
    return decision.reason
