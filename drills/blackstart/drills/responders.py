"""The responders: what people can do to the platform during an incident, with its own tools.

They look at the platform through its database, API and support channels, as
people did; the oracle is out of their reach.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from blackstart.drills.world.world import World
from blackstart.errors import NotFoundError
from blackstart.model import BuildState, InvalidDeploy, Plan, Site
from blackstart.recovery.find import broken_deploys, missing_files, sites_down, sla_order
from blackstart.recovery.restore import restore_metadata, revert_site
from blackstart.recovery.snapshots import Snapshot

HAND_PUSH_S = (12.0, 20.0)
HAND_REPAIR_S = (240.0, 360.0)
SCRIPT_STEP_S = (0.1, 0.5)
WATCH_STUCK_S = 60.0
WATCH_REPORTS_S = 600.0


@dataclass
class Responders:
    """One team's hands, and what it has learned so far."""

    world: World
    broken: list[InvalidDeploy] = field(default_factory=list)
    backup: dict[str, dict[str, Any]] = field(default_factory=dict)
    rebuilding: set[str] = field(default_factory=set)

    async def work_out_what_is_affected(self) -> None:
        """Query for damaged deploys and the sites that show one."""
        self.broken = await broken_deploys(self.world.services.store)
        down = await sites_down(self.world.services.store, self.broken)
        self.world.journal(
            "responders.found", "deploys", deploys=len(self.broken), sites_down=len(down)
        )

    async def rebuild(self, *plans: Plan) -> None:
        """Start rebuilds of the sites of some plans whose published deploy is broken."""
        for site in await sites_down(self.world.services.store, self.broken):
            if site.plan in plans:
                await self._rebuild(site)

    async def rebuild_reported(self, until_s: float) -> None:
        """Every ten minutes rebuild what support hears is down."""
        while self._offset() < until_s:
            for site in await self._reported_down():
                await self._rebuild(site)
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
        """Read the newest snapshot from before the fault; a later one holds the damage."""
        snapshot = await self.world.snapshots.newest(before=self.world.fault_time)
        if snapshot is None:
            self.world.journal("snapshot.none", "deploys")
            return
        await self._read(snapshot)

    async def repair_by_hand(self, until_s: float) -> None:
        """Restore one site after the other from the snapshot, those reported down first."""
        random = self.world.seed.fork("hand-repair").random
        reported = await self._reported_down()
        down = await sites_down(self.world.services.store, await self._still_broken())
        for site in dict.fromkeys([*_ids(reported), *_ids(down)]):
            await self.world.clock.sleep(random.uniform(*HAND_REPAIR_S))
            if self._offset() >= until_s:
                return
            for deploy in await self._still_broken(site):
                await self._restore(deploy)

    async def restore_by_script(self) -> None:
        """Restore every damaged deploy that the snapshot holds, site by site in SLA order."""
        random = self.world.seed.fork("script-restore").random
        sites = {site.id: site for site in await self.world.services.store.sites.all()}
        broken = await self._still_broken()
        rank = {site.id: place for place, site in enumerate(sla_order(list(sites.values())))}
        for deploy in sorted(broken, key=lambda found: (rank[found.site_id], found.number)):
            await self.world.clock.sleep(random.uniform(*SCRIPT_STEP_S))
            await self._restore(deploy)

    async def revert_the_rest(self) -> None:
        """Sites neither in the backup nor rebuilt since: back to their last good deploy."""
        random = self.world.seed.fork("revert").random
        left = await self._still_broken()
        down = await sites_down(self.world.services.store, left)
        self.world.journal("responders.listed", "sites", sites=len(down), deploys=len(left))
        for site in down:
            await self.world.clock.sleep(random.uniform(*SCRIPT_STEP_S))
            try:
                await revert_site(self.world.services.store, self.world.services.publisher, site)
            except NotFoundError as error:
                self.world.journal("site.lost", site.id, error=error.message)

    async def list_missing_files(self) -> None:
        """Which sites deployed since the fault have files that never arrived."""
        services = self.world.services
        found = await missing_files(services.store, services.objects, since=self.world.fault_time)
        self.world.journal(
            "responders.listed_missing_files",
            "deploys",
            missing=[[item.site_id, item.deploy_id, item.paths] for item in found],
        )

    async def _rebuild(self, site: Site) -> None:
        if site.id not in self.rebuilding:
            self.rebuilding.add(site.id)
            await self.world.services.builds.start(site, why="rebuild")

    async def _reported_down(self) -> list[Site]:
        """Sites that visitors report, as far as a damaged deploy is why."""
        store = self.world.services.store
        sites = [await store.sites.by_name(name) for name in self.world.visitors.reported_down()]
        known = [site for site in sites if site is not None]
        published = await store.deploys.many(site.published_deploy_id or "" for site in known)
        damaged = {key for key, found in published.items() if isinstance(found, InvalidDeploy)}
        return sla_order([site for site in known if site.published_deploy_id in damaged])

    async def _still_broken(self, site_id: str | None = None) -> list[InvalidDeploy]:
        """Of the deploys found broken, of one site or all, those that still are."""
        found = await self.world.services.store.deploys.many(
            deploy.id for deploy in self.broken if site_id in (None, deploy.site_id)
        )
        return [deploy for deploy in found.values() if isinstance(deploy, InvalidDeploy)]

    async def _read(self, snapshot: Snapshot) -> None:
        wanted = {deploy.id for deploy in self.broken}
        async for raw in self.world.snapshots.deploys(snapshot):
            if str(raw["_id"]) in wanted:
                self.backup[str(raw["_id"])] = raw
        self.world.journal("snapshot.opened", snapshot.id, found=len(self.backup))

    async def _restore(self, deploy: InvalidDeploy) -> None:
        backup = self.backup.get(deploy.id)
        if backup is not None:
            await restore_metadata(self.world.services.store, deploy, backup, self.world.journal)

    def _offset(self) -> float:
        return self.world.clock.time() - self.world.t0


def _ids(sites: list[Site]) -> list[str]:
    return [site.id for site in sites]
