"""Who lives in a drill's day: workers, timers, alerts, visitors, monitors, readers, owners."""

from __future__ import annotations

from random import Random

import httpx2

from blackstart.drills.world.alerts import AlertEvaluator
from blackstart.drills.world.fleet import FleetSite
from blackstart.drills.world.owners import Owner
from blackstart.drills.world.readers import Reader
from blackstart.drills.world.world import World
from blackstart.model import Plan, Scope

MINUTE = 60.0
VISITS_FROM_S = -90 * MINUTE
MONITOR_AT_S = -8 * MINUTE
ALERTS_FROM_S = -30 * MINUTE
READERS_FROM_S = -20 * MINUTE
FREQUENT_SNAPSHOTS_S = 15 * MINUTE


def start_day(world: World, *, snapshot_s: float, end_s: float) -> None:
    """Start everybody but the responders. Offsets are seconds from the fault."""
    end = world.t0 + end_s
    for worker in world.services.workers:
        world.clock.spawn(worker.name, worker.run_forever())
    world.at(snapshot_s, "snapshots", lambda: _take_snapshots(world))
    world.at(VISITS_FROM_S, "visitors", lambda: world.visitors.run(end))
    alerts = AlertEvaluator(world.services.origin.metrics, world.clock, world.journal)
    world.at(ALERTS_FROM_S, "alerts", alerts.run)
    for site in world.fleet.sites:
        if site.plan is Plan.ENTERPRISE:
            _start_monitor(world, site)
    world.at(READERS_FROM_S, "readers", lambda: _read(world, end))
    random = world.seed.fork("owners").random
    for index, site in enumerate(world.fleet.sites):
        _start_owner(world, site, index, random, snapshot_s)


async def _take_snapshots(world: World) -> None:
    await world.take_snapshot()
    while "frequent-snapshots" in world.safeguards:
        await world.clock.sleep(FREQUENT_SNAPSHOTS_S)
        await world.take_snapshot()


def _start_monitor(world: World, site: FleetSite) -> None:
    world.at(MONITOR_AT_S, f"monitor-{site.name}", lambda: world.visitors.monitor(site))


async def _read(world: World, end: float) -> None:
    _, token = await world.services.desk.tokens.create("readers", [Scope.READ])
    client = httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=world.services.control),
        base_url="http://control",
        headers={"Authorization": f"Bearer {token}"},
    )
    random = world.seed.fork("readers").random
    reader = Reader(client, world.fleet.sites, world.clock, world.journal, random, world.t0)
    await reader.run(end)


def _start_owner(
    world: World, site: FleetSite, index: int, random: Random, snapshot_s: float
) -> None:
    """One owner's day: a push in the morning, one during the incident, or an upload cut off.

    Half of those cut off were so before the newest snapshot, half after it; all
    push the same commit once more while the incident lasts.
    """
    owner = Owner(site, world.services, world.clock, world.journal)
    early = random.uniform(snapshot_s - 8 * MINUTE, snapshot_s - 3 * MINUTE)
    morning = random.uniform(snapshot_s + 10 * MINUTE, -10 * MINUTE)
    soon = random.uniform(8 * MINUTE, 100 * MINUTE)
    later = random.uniform(8 * MINUTE, 370 * MINUTE)
    cut_random = world.seed.fork(f"owner-{index}").random

    async def day() -> None:
        if site.interrupted:
            cut_off = early if index % 2 else morning
            await owner.deploy_cut_off_at(world.t0 + cut_off, cut_random)
            await owner.push_at(world.t0 + soon)
            return
        if site.push_since_snapshot:
            await owner.push_at(world.t0 + morning)
        if site.push_during_incident:
            await owner.push_at(world.t0 + later)

    if site.interrupted or site.push_since_snapshot or site.push_during_incident:
        world.clock.spawn(f"owner-{site.name}", day())
