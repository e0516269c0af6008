"""The responders' tools: `blackstart recover` as a Python API, pointed at the drill's platform."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from blackstart.drills.trail_search import Culprit, last_write
from blackstart.drills.world.world import World
from blackstart.guard.audit import read_trail
from blackstart.guard.guardroom import Places
from blackstart.recovery.apply import Applier, Deeds, Pace, Report, Runs, SiteSteps
from blackstart.recovery.find import BrokenDeploy, HitSite, Look, MissingFiles, find
from blackstart.recovery.plan import Entry, Header, PlanFile, Planner, Wish
from blackstart.recovery.snapshots import Snapshot
from blackstart.recovery.sources import (
    PointerLogSource,
    Route,
    SnapshotSource,
    Source,
    TreeScanSource,
)

SCRIPT_PER_SECOND = 3.0
RESTORING = (Route.SNAPSHOT, Route.POINTER_LOG, Route.TREE_SCAN)


@dataclass(frozen=True)
class Planned:
    """A plan on the disk, and what stands in it."""

    path: Path
    header: Header
    entries: list[Entry]


class Toolbox:
    """Finds, plans and applies. `sources` are what can be read by now, best first."""

    def __init__(self, world: World) -> None:
        self.sources: list[Source] = []
        self._world = world
        self._store = world.services.store
        self._objects = world.services.objects
        self._folder = world.folder / "recovery"
        self._seed = world.seed.fork("recovery")
        self._plans = 0

    async def broken(self) -> tuple[list[BrokenDeploy], list[HitSite]]:
        """All damaged deploys, and the sites that were hit: those that are down first."""
        look = Look(files=False, responses=False)
        found = [each async for each in find(self._store, self._objects, look)]
        deploys = [each for each in found if isinstance(each, BrokenDeploy)]
        return deploys, [each for each in found if isinstance(each, HitSite)]

    async def missing_files(self) -> list[MissingFiles]:
        """Deploys made since the fault that list files which never arrived."""
        look = Look(since=self._world.fault_time, responses=False)
        found = [each async for each in find(self._store, self._objects, look)]
        return [each for each in found if isinstance(each, MissingFiles)]

    async def culprit(self) -> tuple[Culprit | None, list[str]]:
        """The write that set the metadata of deploys, by the audit trail, and what is wrong there.

        Raises: StorageError.
        """
        places = Places(self._world.guard_folder)
        reading = read_trail(self._objects, places.audit, places.heads)
        found = await last_write(reading, "deploys", "metadata")
        return found, [problem.text for problem in reading.problems]

    async def holding(self, metadata: Any) -> list[str]:
        """Ids of the deploys that have exactly this metadata, sorted."""
        found = self._store.database["deploys"].find({"metadata": metadata}, {"_id": True})
        return sorted([str(raw["_id"]) async for raw in found])

    async def open_snapshots(self) -> Snapshot | None:
        """Read those from before the fault from now on; a later one holds the damage.

        Returns the newest of them, None when there is none.
        """
        listing = await self._world.snapshots.listing()
        earlier = [each for each in listing.snapshots if each.taken_at < self._world.fault_time]
        opened: list[Source] = [
            SnapshotSource(each.id, each.taken_at, partial(self._world.snapshots.open, each.id))
            for each in reversed(earlier)
        ]
        self._add(opened)
        return earlier[-1] if earlier else None

    def read_pointer_log(self) -> None:
        """Use the pointer log from now on."""
        self._add([PointerLogSource(self._objects, None)])

    def scan_trees(self) -> None:
        """Use what the bucket's trees say of themselves from now on."""
        self._add([TreeScanSource(self._objects)])

    def _add(self, sources: list[Source]) -> None:
        order = list(Route)
        self.sources = sorted([*self.sources, *sources], key=lambda each: order.index(each.route))

    async def plan(
        self, routes: Collection[Route], *, sites: Collection[str] | None = None
    ) -> Planned:
        """A new plan by these routes, for some sites or all."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._plans += 1
        path = self._folder / f"plan-{self._plans}.json"
        planner = Planner(
            self._store,
            self._objects,
            self.sources,
            clock=self._world.clock,
            seed=self._seed,
            safeguards=self._world.services.switches.background,
        )
        header = await planner.make(path, Wish(routes=routes, sites=sites))
        self._world.journal("plan.made", header.id, deploys=header.deploys, routes=header.routes)
        with PlanFile(path) as plan:
            return Planned(path, header, list(plan.entries()))

    async def apply(
        self, planned: Planned, *, per_second: float | None = SCRIPT_PER_SECOND
    ) -> Report:
        """Carry a plan out."""
        services = self._world.services
        applier = Applier(
            self._store.database.name,
            Deeds(self._store),
            SiteSteps(self._store, services.publisher, services.builds),
            Runs(self._folder / "runs"),
            clock=self._world.clock,
            events=self._world.journal,
        )
        with PlanFile(planned.path) as plan:
            return await applier.apply(plan, Pace(at_once=1, per_second=per_second))
