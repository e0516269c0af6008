"""Visitors: what people ask the nodes for, and what they get.

Traffic is a sample of a busy platform's: dense around the fault, where every
second counts, and sparse over the long hours after it. Shares and times are
read from it, never totals.
"""

from __future__ import annotations

import math
from bisect import bisect
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random
from urllib.parse import quote

from blackstart.cdn.cache_status import is_from_cache
from blackstart.cdn.message import Headers, Request, Response
from blackstart.cdn.node import Node
from blackstart.drills.journal import Journal
from blackstart.drills.world.clock import VirtualClock
from blackstart.drills.world.fleet import Fleet, FleetSite

DOMAIN = "localhost"
CRAWLER_SHARE = 0.25
NEW_QUERY_SHARE = 0.5
RELOAD_S = 60.0
SLOW_RELOAD_S = 600.0
PATIENCE_S = 900.0
MONITORED_PAGES = 1_000
MONITOR_STEP_S = 0.2
WATCHES_ALL_SHARE = 0.85
NO_HEADERS = Headers()


@dataclass(frozen=True)
class Rates:
    """Visits per second of virtual time, as a step function of the offset from the fault."""

    steps: tuple[tuple[float, float], ...]

    def at(self, offset_s: float) -> float:
        rate = 0.0
        for start_s, value in self.steps:
            if offset_s >= start_s:
                rate = value
        return rate

    def gap_s(self, offset_s: float, random: Random) -> float:
        """Seconds from `offset_s` to the next visit: a Poisson process whose rate steps.

        A draw that would run past a step starts anew there (it has no memory).
        """
        start_s = offset_s
        for step_s in (step_s for step_s, _ in self.steps if step_s > offset_s):
            rate = self.at(offset_s)
            gap_s = random.expovariate(rate) if rate else math.inf
            if offset_s + gap_s < step_s:
                return offset_s + gap_s - start_s
            offset_s = step_s
        return offset_s + random.expovariate(self.at(offset_s)) - start_s


@dataclass
class Audience:
    """Who visits which page: Zipf over sites and pages, and a crawler that reads at random."""

    fleet: Fleet
    _cumulated: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self._cumulated = list(accumulate(site.weight for site in self.fleet.sites))

    def choose(self, random: Random) -> tuple[FleetSite, str, bool]:
        """A site, the URL path of one of its pages, and whether a person asks for it."""
        sites = self.fleet.sites
        if random.random() < CRAWLER_SHARE:
            site = sites[random.randrange(len(sites))]
            return site, site.paths[random.randrange(len(site.paths))][0], False
        site = sites[bisect(self._cumulated, random.random() * self._cumulated[-1])]
        # The square of a uniform draw leans to the front: the home page first.
        return site, site.paths[int(len(site.paths) * random.random() ** 2)][0], True


class Visitors:
    """Sends visits through the nodes, journals each, and keeps reloading what failed."""

    def __init__(
        self,
        audience: Audience,
        nodes: list[Node],
        clock: VirtualClock,
        journal: Journal,
        random: Random,
        *,
        t0: float,
        rates: Rates,
    ) -> None:
        self._audience = audience
        self._nodes = nodes
        self._clock = clock
        self._journal = journal
        self._random = random
        self._t0 = t0
        self._rates = rates
        self._reloading: set[str] = set()

    async def run(self, end: float) -> None:
        """Visit until the virtual time `end`."""
        while self._clock.time() < end:
            offset_s = self._clock.time() - self._t0
            await self._clock.sleep(self._rates.gap_s(offset_s, self._random))
            site, path, person = self._audience.choose(self._random)
            node = self._nodes[self._random.randrange(len(self._nodes))]
            query = "" if person else self._new_query()
            response = await self.visit(node, site, path, query=query, person=person)
            if response.status < 400 or not person or self._clock.time() < self._t0:
                continue
            if site.name not in self._reloading:
                self._reloading.add(site.name)
                self._clock.spawn(f"reload-{site.name}", self._reload(node, site, path))

    def _new_query(self) -> str:
        """Half of what crawlers ask for carries a query nobody used before: never in a cache."""
        if self._random.random() < NEW_QUERY_SHARE:
            return ""
        return f"ref={self._random.getrandbits(32):08x}"

    async def monitor(self, site: FleetSite) -> None:
        """An uptime monitor's round: each page through the nodes that it watches.

        Enterprise customers have one. Not every monitor watches every node.
        """
        watched = self._nodes if self._random.random() < WATCHES_ALL_SHARE else self._nodes[:-1]
        for node in watched:
            for path, _ in site.paths[:MONITORED_PAGES]:
                await self._clock.sleep(MONITOR_STEP_S)
                await self.visit(node, site, path, person=False)

    async def visit(
        self, node: Node, site: FleetSite, path: str, *, query: str = "", person: bool = True
    ) -> Response:
        """One page view, journaled with the git blob id of what came."""
        asked_at = self._clock.time() - self._t0
        response, body = await fetch(node, site.name, path, query)
        self._journal(
            "visit",
            site.name + path,
            site=site.name,
            path=path,
            node=node.name,
            status=response.status,
            cache="hit" if is_from_cache(response.headers) else "miss",
            asked_at=round(asked_at, 3),
            person=person,
            blob=site.blob_id(body) if response.status == 200 else None,
        )
        return response

    async def _reload(self, node: Node, site: FleetSite, path: str) -> None:
        """Who meets an error reloads: each minute at first, then now and then, until it works."""
        began = self._clock.time()
        while True:
            patient = self._clock.time() - began < PATIENCE_S or site.plan.sla_rank == 0
            await self._clock.sleep(RELOAD_S if patient else SLOW_RELOAD_S)
            response = await self.visit(node, site, path)
            if response.status < 400:
                self._reloading.discard(site.name)
                return

    def reported_down(self) -> list[str]:
        """Names of the sites whose visitors are failing right now: what support hears."""
        return sorted(self._reloading)


async def fetch(node: Node, label: str, path: str, query: str = "") -> tuple[Response, bytes]:
    """Ask a node for a page of the host `label`; the response, and its body in one piece."""
    target = f"{quote(path)}?{query}" if query else quote(path)
    response = await node.answer(Request("GET", target, f"{label}.{DOMAIN}", NO_HEADERS))
    body = response.body
    if not isinstance(body, bytes):
        body = b"".join([chunk async for chunk in body])
    return response, body
