"""A hop that leaves a failing origin alone for a while, and then tries it with one request."""

from __future__ import annotations

from datetime import UTC, datetime

import structlog

from blackstart.cdn.hop.breaker import Breaker, State
from blackstart.cdn.hop.failures import CrowdedError, TimedOutError, UnreachableError
from blackstart.cdn.hop.hop import Hop
from blackstart.cdn.message import Request, Response
from blackstart.clock import Clock
from blackstart.errors import HopError

log = structlog.get_logger(__name__)


class ShutError(HopError):
    """The breaker is open: nothing was sent, and for a while nothing will be (RFC 9110 15.6.4)."""

    status = 503
    definite = True
    kind = "shut"

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message, hint="the node asks it again by itself")
        self.retry_after_s = retry_after_s


class GuardedHop:
    """A hop whose requests pass a breaker; raises ShutError at once while that is open.

    To be out of reach, or silent for too long, is a failure. An error status is an answer, and
    so is an answer that makes no sense or a connection that is closed in its place: one page,
    or one site, may be broken on an origin that serves all others well, and whoever asks for
    that page again and again must not shut the others off.
    What the visitor causes (going away, a request that cannot be sent, an upload
    that breaks off) says nothing about the origin, and neither does a full pool.
    """

    def __init__(self, hop: Hop, clock: Clock, breaker: Breaker) -> None:
        self._hop = hop
        self._clock = clock
        self._breaker = breaker

    @property
    def state(self) -> State:
        """The breaker's state now."""
        return self._breaker.state(self._clock.time())

    async def send(self, request: Request) -> Response:
        breaker = self._breaker
        ticket = breaker.admit(self._clock.time())
        if ticket is None:
            raise self._shut()
        try:
            response = await self._hop.send(request)
        except CrowdedError:
            breaker.gave_up(ticket)
            raise
        except (UnreachableError, TimedOutError):
            breaker.failed(ticket, self._clock.time())
            raise
        except BaseException:
            breaker.gave_up(ticket)
            raise
        if breaker.succeeded(ticket, self._clock.time()):
            log.warning("the origin answers again")
        return response

    async def close(self) -> None:
        await self._hop.close()

    def _shut(self) -> ShutError:
        now = self._clock.time()
        wait_s = self._breaker.wait_s(now)
        if not wait_s:
            return ShutError("the origin kept failing and is being tried with one request", 1.0)
        until = datetime.fromtimestamp(now + wait_s, UTC).strftime("%H:%M:%S")
        return ShutError(f"the origin kept failing and is left alone until {until} UTC", wait_s)
