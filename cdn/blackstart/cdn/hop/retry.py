"""A second try where the first cannot have had an answer, and never many of them at once."""

from __future__ import annotations

from blackstart.cdn.hop.failures import CrowdedError, UnreachableError
from blackstart.cdn.hop.hop import Hop
from blackstart.cdn.hop.retry_after import LONGEST_S, retry_after_s
from blackstart.cdn.message import Request, Response
from blackstart.clock import Clock, is_paused
from blackstart.errors import HopError
from blackstart.seed import Seed

_RETRIED = frozenset({"GET", "HEAD", "OPTIONS"})


class Budget:
    """Retries that may be spent: `share` of each request, and up to `spare` saved up.

    So there are never more retries than `spare` plus that share of all
    requests: an origin that fails under load isn't given a multiple of it.
    """

    def __init__(self, share: float, spare: int) -> None:
        self._share = share
        self._spare = float(spare)
        self._saved = self._spare

    def earn(self) -> None:
        """A request was made."""
        self._saved = min(self._saved + self._share, self._spare)

    def spend(self) -> bool:
        """Take one retry, if there is one."""
        if self._saved < 1:
            return False
        self._saved -= 1
        return True


class RetryingHop:
    """A hop that asks again, once by default, when the origin was not reached.

    Only a GET, HEAD or OPTIONS whose body is bytes is repeated, after a pause of
    `pause_s` give or take a half, and twice that for each further one. What an origin
    got and did not answer is not asked again: it may have died of it. After a 429 or 503
    that says `Retry-After`, nothing is repeated before that.
    """

    def __init__(
        self,
        hop: Hop,
        clock: Clock,
        seed: Seed,
        *,
        retries: int = 1,
        share: float = 0.1,
        spare: int = 10,
        pause_s: float = 0.05,
    ) -> None:
        self._hop = hop
        self._clock = clock
        self._random = seed.fork("retry").random
        self._budget = Budget(share, spare)
        self._retries = retries
        self._pause_s = pause_s
        self._left_alone_until = 0.0
        self.retried = 0

    async def send(self, request: Request) -> Response:
        self._budget.earn()
        retries = self._retries if _may_repeat(request) else 0
        for attempt in range(retries):
            try:
                return self._heeded(await self._hop.send(request))
            except UnreachableError as error:
                pause_s = self._pause_s * 2**attempt * self._random.uniform(0.5, 1.5)
                if not self._may_retry(error, pause_s):
                    raise
            await self._clock.sleep(pause_s)
            self.retried += 1
        return self._heeded(await self._hop.send(request))

    async def close(self) -> None:
        await self._hop.close()

    def _may_retry(self, error: HopError, pause_s: float) -> bool:
        # Whoever waited for a free connection in vain would only lengthen the queue.
        if isinstance(error, CrowdedError):
            return False
        if is_paused(self._clock.time() + pause_s, self._left_alone_until, LONGEST_S):
            return False
        return self._budget.spend()

    def _heeded(self, response: Response) -> Response:
        now = self._clock.time()
        asked_s = retry_after_s(response, now)
        if asked_s is not None:
            before = min(self._left_alone_until, now + LONGEST_S)
            self._left_alone_until = max(before, now + asked_s)
        return response


def _may_repeat(request: Request) -> bool:
    return request.method in _RETRIED and isinstance(request.body, bytes)
