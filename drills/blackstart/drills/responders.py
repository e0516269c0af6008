"""The responders: what people can do to the platform during an incident, with its own tools.

They look at the platform through its database, API and support channels, as
people did; the oracle is out of their reach.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from blackstart.drills.toolbox import RESTORING, Toolbox
from blackstart.drills.world.world import World
from blackstart.model import BuildState, InvalidDeploy, Plan, Site
from blackstart.recovery.find import BrokenDeploy, sla_order
from blackstart.recovery.sources import Route

HAND_PUSH_S = (12.0, 20.0)
HAND_REPAIR_S = (240.0, 360.0)
SCRIPT_STEP_S = (0.1, 0.5)
WATCH_STUCK_S = 60.0
WATCH_REPORTS_S = 600.0


@dataclass
class Responders:
    """One team's hands, and what it has learned so far."""

    world: World
    tools: Toolbox = field(init=False)
    broken: list[BrokenDeploy] = field(default_factory=list)
    rebuilding: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.tools = Toolbox(self.world)

    async def work_out_what_is_affected(self) -> None:
        """Find damaged deploys and the sites that show one."""
        self.broken, sites = await self.tools.broken()
        down = sum(site.down for site in sites)
        self.world.journal("responders.found", "deploys", deploys=len(self.broken), sites_down=down)

    async def ask_the_trail(self) -> None:
        """Which write set the metadata, and by whom; and which deploys hold what it left."""
        found, problems = await self.tools.culprit()
        if found is None:
            self.world.journal("cause.unknown", "deploys.metadata", problems=problems)
            return
        holding = await self.tools.holding(found.left)
        self.world.journal(
            "cause.found",
            f"request {found.request}",
            login=found.login,
            sent_at=round(found.sent_at.timestamp() - self.world.t0, 3),
            left=found.left,
            outcome=found.outcome,
            holding=holding,
            problems=problems,
        )

    async def rebuild(self, *plans: Plan) -> None:
        """Start rebuilds of the sites of some plans whose published deploy is broken."""
        _, sites = await self.tools.broken()
        await self._rebuild([site.site_id for site in sites if site.down and site.plan in plans])

    async def rebuild_reported(self, until_s: float) -> None:
        """Every ten minutes rebuild what support hears is down."""
        while self._offset() < until_s:
            await self._rebuild([site.id for site in await self._reported_down()])
            await self.world.clock.sleep(WATCH_REPORTS_S)

    async def push_by_hand(self, until_s: float, *plans: Plan) -> None:
        """Watch for stuck builds of some plans and push them through one at a time."""
        random = self.world.seed.fork("hand-push").random
        sites = await self.world.services.store.sites.all()
        mine = {site.id for site in sites if site.plan in plans}
        while self._offset() < until_s:
            for build in await self.world.services.store.builds.in_state(BuildState.STUCK):
                if build.site_id in mine and self._offset() < until_s:
                    await self.world.clock.sleep(random.uniform(*HAND_PUSH_S))
                    await self.world.services.builds.push_stuck(build)
            await self.world.clock.sleep(WATCH_STUCK_S)

    async def push_by_script(self) -> None:
        """Push every stuck build through, minute by minute, for the rest of the day."""
        random = self.world.seed.fork("script-push").random
        while True:
            for build in await self.world.services.store.builds.in_state(BuildState.STUCK):
                await self.world.clock.sleep(random.uniform(*SCRIPT_STEP_S))
                await self.world.services.builds.push_stuck(build)
            await self.world.clock.sleep(WATCH_STUCK_S)

    async def release(self, part: str, *safeguards: str) -> None:
        """Put a fix live: switch safeguards on in one part of the platform."""
        for name in safeguards:
            getattr(self.world.services.switches, part).enable(name)
        self.world.journal("fix.released", part, safeguards=list(safeguards))

    async def open_snapshot(self) -> None:
        """Read the newest snapshot from before the fault, where it lies."""
        snapshot = await self.tools.open_snapshots()
        if snapshot is None:
            self.world.journal("snapshot.none", "deploys")
            return
        planned = await self.tools.plan([Route.SNAPSHOT])
        found = planned.header.routes.get(Route.SNAPSHOT, 0)
        self.world.journal(
            "snapshot.opened", snapshot.id, found=found, damaged=planned.header.deploys
        )

    async def read_pointer_log(self) -> None:
        """Read the log of all pointers that were set."""
        self.tools.read_pointer_log()
        await self._tell_what_is_readable(Route.POINTER_LOG)

    async def scan_trees(self) -> None:
        """Look through the bucket for trees that say whose they are."""
        self.tools.scan_trees()
        await self._tell_what_is_readable(Route.TREE_SCAN)

    async def repair_by_hand(self, until_s: float) -> None:
        """Plan and restore one site after the other, those reported down first."""
        random = self.world.seed.fork("hand-repair").random
        reported = [site.id for site in await self._reported_down()]
        _, hit = await self.tools.broken()
        for site_id in dict.fromkeys([*reported, *(site.site_id for site in hit if site.down)]):
            await self.world.clock.sleep(random.uniform(*HAND_REPAIR_S))
            if self._offset() >= until_s:
                return
            await self.tools.apply(await self.tools.plan(RESTORING, sites=[site_id]))

    async def restore_by_script(self) -> None:
        """Restore every damaged deploy that can be read by now, site by site in SLA order."""
        await self.tools.apply(await self.tools.plan(RESTORING))

    async def revert_the_rest(self) -> None:
        """Sites neither restored nor rebuilt since: back to their last good deploy."""
        planned = await self.tools.plan([Route.REVERT])
        left = [entry for entry in planned.entries if entry.shown]
        self.world.journal(
            "responders.listed", "sites", sites=len(left), deploys=planned.header.deploys
        )
        await self.tools.apply(planned)
        for entry in left:
            if entry.route is Route.NONE:
                self.world.journal("site.lost", entry.site_id, error="; ".join(entry.refused))

    async def list_missing_files(self) -> None:
        """Which sites deployed since the fault have files that never arrived."""
        found = await self.tools.missing_files()
        self.world.journal(
            "responders.listed_missing_files",
            "deploys",
            missing=[[item.site_id, item.deploy_id, item.paths] for item in found],
        )

    async def _tell_what_is_readable(self, route: Route) -> None:
        planned = await self.tools.plan([route])
        self.world.journal(
            "source.opened",
            route.value,
            found=planned.header.routes.get(route.value, 0),
            damaged=planned.header.deploys,
        )

    async def _rebuild(self, site_ids: Collection[str]) -> None:
        """Each site once; one whose build failed is left to its owner."""
        new = [site_id for site_id in site_ids if site_id not in self.rebuilding]
        self.rebuilding.update(new)
        if new:
            planned = await self.tools.plan([Route.REBUILD], sites=new)
            await self.tools.apply(planned, per_second=None)

    async def _reported_down(self) -> list[Site]:
        """Sites that visitors report, as far as a damaged deploy is why."""
        store = self.world.services.store
        sites = [await store.sites.by_name(name) for name in self.world.visitors.reported_down()]
        known = [site for site in sites if site is not None]
        published = await store.deploys.many(site.published_deploy_id or "" for site in known)
        damaged = {key for key, found in published.items() if isinstance(found, InvalidDeploy)}
        return sla_order([site for site in known if site.published_deploy_id in damaged])

    def _offset(self) -> float:
        return self.world.clock.time() - self.world.t0
