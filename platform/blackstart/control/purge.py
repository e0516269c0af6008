"""Telling the CDN nodes to forget what a publish has made old."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import httpx2
import structlog
from prometheus_client import Counter

from blackstart.clock import Clock
from blackstart.control.line import Line
from blackstart.errors import BlackstartError, DatabaseError, HopError
from blackstart.model.purge import PurgeOrder, What
from blackstart.seed import Seed
from blackstart.store.purges import PurgeLog

log = structlog.get_logger("purge")

TIMEOUT_S = 5.0
FIRST_RETRY_S = 0.1
LAST_RETRY_S = 2.0
PINGS_IN_A_LEASE = 3
DRIFT = 0.05
"""How much faster than a node's clock the sender's may run."""


class Purge(Protocol):
    """Makes every node drop what carries one of the tags."""

    async def __call__(self, tags: Sequence[str]) -> None:
        """Raises: HopError when a node did not confirm."""
        ...


class NodePurge:
    """`Purge` over HTTP, one client per node; a transport decides whether that is a socket.

    Orders go through `orders`, a log that all who purge these nodes share. Each
    node is sent what it lacks of it. With a `lease_s` a node trusts what it
    stored for that long after it was told that nothing was missed, by an order
    or by `pinging`. So one that does not answer holds a purge up for a lease
    and no longer: it then knows itself that it may be out of date. Without a
    lease a node that does not confirm fails the purge.
    """

    def __init__(
        self,
        nodes: Sequence[httpx2.AsyncClient],
        token: str,
        orders: PurgeLog,
        *,
        clock: Clock,
        seed: Seed,
        lease_s: float | None = None,
    ) -> None:
        self._lines = [Line(node, token, orders, lease_s) for node in nodes]
        self._orders = orders
        self._clock = clock
        self._seed = seed
        self._lease_s = lease_s
        self.silent = Counter(
            "blackstart_purge_silent",
            "Purges that went on without a node because its lease had run out",
            ["node"],
            registry=None,
        )

    @classmethod
    def over_sockets(
        cls, urls: Sequence[str], token: str, orders: PurgeLog, **how: Any
    ) -> NodePurge:
        """For nodes at these URLs."""
        nodes = [
            httpx2.AsyncClient(base_url=url, timeout=TIMEOUT_S, trust_env=False) for url in urls
        ]
        return cls(nodes, token, orders, **how)

    async def __call__(self, tags: Sequence[str]) -> None:
        """Order all nodes to forget what carries one of the tags."""
        await self.order(What(tags=tuple(tags)))

    async def order(self, what: What) -> None:
        """Returns when no node serves any more, unasked, what this is about.

        Raises: HopError when the order could not be written down, or a node that
        has no lease did not confirm.
        """
        if not self._lines:
            return
        try:
            order = await self._orders.append(what, self._seed.new_id(), self._clock.now())
        except DatabaseError as error:
            raise HopError(f"the purge was not ordered: {error.message}") from error
        if self._lease_s is None:
            await self._tell_in_turn(order)
        else:
            await self._tell_at_once(order, self._lease_s)

    async def _tell_in_turn(self, order: PurgeOrder) -> None:
        """Ask each node once; all are asked even when one fails."""
        failed = []
        for line in self._lines:
            try:
                await line.bring(order)
            except BlackstartError as error:
                failed.append(f"{line.name}: {error.message}")
        if failed:
            raise HopError(f"purge not confirmed by {', '.join(failed)}")

    async def _tell_at_once(self, order: PurgeOrder, lease_s: float) -> None:
        """Ask all nodes until each has confirmed or its lease has run out.

        Whoever told a node since the order was written down has told it of the
        order too. So a lease that does not know of it began before now.
        """
        unconfirmed = dict.fromkeys(self._lines)
        all_confirmed = self._clock.event()

        async def tell(line: Line) -> None:
            pause_s = FIRST_RETRY_S
            while True:
                try:
                    await line.bring(order)
                    break
                except BlackstartError as error:
                    log.info("a purge is not confirmed yet", node=line.name, error=error.message)
                await self._clock.sleep(pause_s)
                pause_s = min(2 * pause_s, LAST_RETRY_S)
            del unconfirmed[line]
            if not unconfirmed:
                all_confirmed.set()

        telling = [self._clock.spawn(f"purge {line.name}", tell(line)) for line in self._lines]
        try:
            await all_confirmed.wait(lease_s * (1 + DRIFT))
        finally:
            for story in telling:
                await self._clock.kill(story)
        for line in unconfirmed:
            self.silent.labels(line.name).inc()
            log.warning(
                "a node is down: it has to ask the origin until it hears of its purges",
                node=line.name,
                generation=order.generation,
            )

    @asynccontextmanager
    async def pinging(self) -> AsyncIterator[None]:
        """Meanwhile all nodes are told again and again that they missed nothing."""
        lease_s = self._lease_s
        pings = []
        if lease_s is not None:
            for line in self._lines:
                ping = self._ping(line, lease_s / PINGS_IN_A_LEASE)
                pings.append(self._clock.spawn(f"ping {line.name}", ping))
        try:
            yield
        finally:
            for story in pings:
                await self._clock.kill(story)

    async def _ping(self, line: Line, every_s: float) -> None:
        is_up = True
        while True:
            try:
                await line.bring(None)
            except BlackstartError as error:
                if is_up:
                    log.warning("a node does not answer", node=line.name, error=error.message)
                is_up = False
            else:
                if not is_up:
                    log.info("a node answers again", node=line.name)
                is_up = True
            await self._clock.sleep(every_s)

    async def close(self) -> None:
        """Close the connections to the nodes."""
        for line in self._lines:
            await line.close()


async def no_purge(tags: Sequence[str]) -> None:
    """`Purge` for a platform without nodes."""


def site_tag(site_id: str) -> str:
    """The tag that everything of a site carries."""
    return f"site-{site_id}"


def deploy_tag(deploy_id: str) -> str:
    """The tag that everything of one deploy carries."""
    return f"deploy-{deploy_id}"


def branch_tag(site_id: str, branch: str) -> str:
    """The tag of everything that was shown as a branch's newest deploy."""
    return f"branch-{site_id}-{branch}"


def custom_tag(site_id: str, tag: str) -> str:
    """A tag that a site gave to an answer of its own; no other site's tag is ever the same.

    Case does not matter, as in Netlify's documentation. The platform's own
    tags have no colon, so that none of them can be named this way either.
    """
    return f"{site_id}:{tag.lower()}"
