"""Clients of the control plane: they read the API and the web pages all day."""

from __future__ import annotations

import re
from random import Random
from typing import Any

import httpx2

from blackstart.drills.journal import Journal
from blackstart.drills.world.clock import VirtualClock
from blackstart.drills.world.fleet import FleetSite

SOON_S = 20.0
LATER_S = 150.0
CLOSE_UP_S = 600.0
PER_PAGE = 5
_SHOWN = re.compile(r'data-deploy="([0-9a-f]+)"')


class Reader:
    """Reads lists and single sites, and journals which deploys each response showed."""

    def __init__(
        self,
        client: httpx2.AsyncClient,
        sites: list[FleetSite],
        clock: VirtualClock,
        journal: Journal,
        random: Random,
        t0: float,
    ) -> None:
        self._client = client
        self._sites = sites
        self._clock = clock
        self._journal = journal
        self._random = random
        self._t0 = t0

    async def run(self, end: float) -> None:
        """Read until the virtual time `end`."""
        while self._clock.time() < end:
            near = abs(self._clock.time() - self._t0) < CLOSE_UP_S
            await self._clock.sleep(self._random.expovariate(1 / (SOON_S if near else LATER_S)))
            await self.read(self._choose())

    def _choose(self) -> str:
        site = self._sites[self._random.randrange(len(self._sites))].name
        page = self._random.randint(1, -(-len(self._sites) // PER_PAGE))
        return self._random.choice(
            (
                f"/api/v1/sites?page={page}&per_page={PER_PAGE}",
                f"/api/v1/sites/{site}",
                f"/api/v1/sites/{site}/deploys?per_page={PER_PAGE}",
                f"/sites/{site}",
            )
        )

    async def read(self, path: str) -> None:
        """One request; a failing one names the deploy that failed it."""
        response = await self._client.get(path)
        api = path.startswith("/api/")
        shown = _deploys_in(response.json()) if api else _SHOWN.findall(response.text)
        self._journal(
            "api.read" if api else "page.read",
            path,
            status=response.status_code,
            deploys=sorted(set(shown)),
        )


def _deploys_in(value: Any) -> list[str]:
    """Ids of the deploys a JSON answer shows: by shape, wherever they stand."""
    if isinstance(value, list):
        return [deploy for item in value for deploy in _deploys_in(item)]
    if not isinstance(value, dict):
        return []
    if "deploy_id" in value and "code" in value:
        return [value["deploy_id"]]
    found = _deploys_in(value.get("published_deploy"))
    return [value["id"], *found] if "number" in value else found
