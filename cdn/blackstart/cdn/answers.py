"""What visitors get: from what is stored, or from what the origin said; signed and counted."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
from blackstart.cdn.message import Relay, Request, Response, close_body, plain
from blackstart.cdn.metrics import Metrics
from blackstart.cdn.origin import Origin, announced_bytes
from blackstart.cdn.outcome import Confirmed, Failed, Kept, Outcome
from blackstart.cdn.purges import Purges
from blackstart.cdn.rules.decision import (
    covers_errors,
    current_age_s,
    status_without_answer,
    wishes_of,
)
from blackstart.cdn.storage.cache import Cache
from blackstart.cdn.storage.entry import Entry
from blackstart.clock import Clock
from blackstart.errors import HopError, StorageError

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """A visitor's request that the origin is asked about.

    `reason` is why, in a word of RFC 9211 section 2.2; `held` the stored response
    that the origin may confirm, complete or be covered by; `collapsed` says
    that the origin was asked for another visitor.
    """

    request: Request
    key: str
    reason: str
    held: Entry | None = None
    collapsed: bool = False


class Answers:
    """The answers of one node, each with its Cache-Status, and counted for its plan."""

    def __init__(
        self,
        clock: Clock,
        cache: Cache,
        origin: Origin,
        purges: Purges,
        metrics: Metrics,
        *,
        name: str,
        tells_key: bool,
    ) -> None:
        self._clock = clock
        self._cache = cache
        self._origin = origin
        self._purges = purges
        self._metrics = metrics
        self._name = name
        self._status = CacheStatus(name, tells_key=tells_key)
        self._complaints = Complaints(clock, log, "no answer from the origin")

    def close(self) -> None:
        """Say how many complaints went unwritten."""
        self._complaints.close()

    # From what is stored ------------------------------------------------------------------

    def at_hand(self, request: Request, entry: Entry, body: bytes, now: float) -> Response:
        """A fresh response whose body memory has."""
        self._metrics.plans[entry.plan].hits += 1
        fields = (age_of(entry, now), self._hit_status(entry, now))
        return self._counted(from_memory(request, entry, body, *fields), entry.plan)

    async def reused(self, request: Request, entry: Entry, now: float, *, stale: bool) -> Response:
        """A stored response, wherever its body is. Raises: StorageError when that is lost."""
        if stale:
            self._metrics.plans[entry.plan].stale += 1
            status = self._hit_status(entry, now, STALE_WHILE_REVALIDATE)
        else:
            self._metrics.plans[entry.plan].hits += 1
            status = self._hit_status(entry, now)
        return await self._from_entry(request, entry, now, status)

    def not_stored(self, key: str) -> Response:
        """The answer to a visitor who wants nothing but what is stored."""
        refusal = plain(504, f"504 Gateway Timeout: no such page is stored (node {self._name})")
        return self._own(refusal, self._status.forwarded(key, "request", detail="only-if-cached"))

    def _hit_status(self, entry: Entry, now: float, detail: str = "") -> tuple[str, str]:
        ttl_s = entry.lifetime_s - current_age_s(entry, now)
        return "cache-status", self._status.hit(entry.key, ttl_s, detail)

    async def _from_entry(
        self, request: Request, entry: Entry, now: float, status: tuple[str, str]
    ) -> Response:
        body = self._cache.peek(entry)
        fields = (age_of(entry, now), status)
        if body is not None:
            response = from_memory(request, entry, body, *fields)
        else:
            response = await from_cache(request, entry, self._cache, *fields)
        return self._counted(response, entry.plan)

    # From the origin ----------------------------------------------------------------------

    def passed(self, asked: Asked, response: Response) -> Response:
        """What the origin said to a request that is none of the cache's business."""
        plan = self._origin.plan(response)
        self._missed(plan)
        return self._counted(self._public(asked, response), plan)

    async def landed(self, asked: Asked, outcome: Outcome) -> Response:
        """What a request to the origin came to.

        Raises: StorageError when a body that it confirmed is lost.
        """
        if isinstance(outcome, Kept):
            return await self._from_kept(asked, outcome)
        if isinstance(outcome, Confirmed):
            return await self._from_confirmed(asked, outcome)
        if isinstance(outcome, Failed):
            return await self._from_failure(asked, outcome)
        plan = self._origin.plan(outcome.response)
        self._missed(plan, asked.collapsed)
        status = self._forwarded(asked, outcome.response.status, detail=outcome.detail)
        answer = await from_origin(asked.request, outcome.response, ("cache-status", status))
        return self._counted(answer, plan)

    async def _from_kept(self, asked: Asked, kept: Kept) -> Response:
        entry, response, collapsed = kept.entry, kept.response, asked.collapsed
        self._missed(entry.plan, collapsed)
        stored = kept.stored(collapsed)
        status = self._forwarded(asked, response.status, stored=stored, detail=kept.detail)
        fields = [*(() if collapsed else kept.own), ("cache-status", status)]
        if collapsed or "age" in response.headers:
            fields.append(age_of(entry, self._clock.time()))
        if isinstance(response.body, bytes):
            answer = from_memory(asked.request, entry, response.body, *fields)
        else:
            follower = kept.intake.follow() if collapsed else kept.leader
            assert follower is not None
            length = announced_bytes(response)
            answer = await from_intake(asked.request, entry, follower, length, *fields)
        return self._counted(answer, entry.plan)

    async def _from_confirmed(self, asked: Asked, confirmed: Confirmed) -> Response:
        entry, now = confirmed.entry, self._clock.time()
        self._missed(entry.plan, asked.collapsed)
        status = ("cache-status", self._forwarded(asked, confirmed.status))
        if confirmed.body is None:
            return await self._from_entry(asked.request, entry, now, status)
        fields = (age_of(entry, now), status)
        answer = from_memory(asked.request, entry, confirmed.body, *fields)
        return self._counted(answer, entry.plan)

    async def _from_failure(self, asked: Asked, failed: Failed) -> Response:
        """A stale copy in the place of an error, or the error; one error serves all who waited."""
        cause, held, collapsed = failed.cause, asked.held, asked.collapsed
        if held is not None and self._covers(asked.request, held):
            if isinstance(cause, Response) and not collapsed:
                await close_body(cause.body)
            status = self._forwarded(asked, failed.status, detail=STALE_IF_ERROR)
            self._metrics.plans[held.plan].stale += 1
            self._metrics.plans[held.plan].collapsed += collapsed
            try:
                return await self._from_entry(
                    asked.request, held, self._clock.time(), ("cache-status", status)
                )
            except StorageError as error:
                log.warning("a stale copy was lost", key=held.key, error=str(error))
        if isinstance(cause, HopError):
            return self.no_answer(asked, cause, status=status_without_answer(cause, held))
        self._missed(self._origin.plan(cause), collapsed)
        if collapsed:
            text = f"{cause.status}: the origin failed a moment ago"
            return self._own(plain(cause.status, text), self._forwarded(asked, cause.status))
        return self._public(asked, cause)

    def _covers(self, request: Request, held: Entry) -> bool:
        policy, now = self._origin.policy, self._clock.time()
        wishes = wishes_of(request, policy)
        return covers_errors(held, now, wishes, policy, heard=self._purges.heard)

    def no_answer(self, asked: Asked, error: HopError, *, status: int | None = None) -> Response:
        """The answer where the origin gave none, with `status` or what the error stands for."""
        self._complaints.warn(host=asked.request.host, error=str(error))
        self._missed(self._cache.plan(None), asked.collapsed)
        refusal = no_answer(self._name, status or error.status, error.retry_after_s)
        return self._own(refusal, self._forwarded(asked, detail=error.kind))

    # Signed and counted -------------------------------------------------------------------

    def _forwarded(
        self,
        asked: Asked,
        status: int | None = None,
        *,
        stored: bool = False,
        detail: str = "",
    ) -> str:
        return self._status.forwarded(
            asked.key,
            asked.reason,
            status,
            stored=stored,
            collapsed=asked.collapsed,
            detail=detail,
        )

    def _public(self, asked: Asked, response: Response) -> Response:
        """The origin's answer without what is between it and the node."""
        return self._own(self._origin.public(response), self._forwarded(asked, response.status))

    def _own(self, response: Response, status: str) -> Response:
        return replace(response, headers=response.headers.plus(("cache-status", status)))

    def _missed(self, plan: str, collapsed: bool = False) -> None:
        counts = self._metrics.plans[plan]
        counts.misses += 1
        counts.collapsed += collapsed

    def _counted(self, response: Response, plan: str) -> Response:
        counts = self._metrics.plans[plan]
        if isinstance(response.body, bytes):
            counts.sent_bytes += len(response.body)
            return response
        return replace(response, body=Relay(response.body, on_chunk=counts.sent))
