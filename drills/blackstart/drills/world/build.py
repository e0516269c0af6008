"""Builds a drill's world: fleet, past, platform, and the oracle's first look."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from blackstart.drills.journal import Journal
from blackstart.drills.oracle import Oracle, observe
from blackstart.drills.world.clock import VirtualClock
from blackstart.drills.world.fleet import Fleet, plan_fleet
from blackstart.drills.world.repositories import UserRepository
from blackstart.drills.world.seeding import seed_fleet
from blackstart.drills.world.services import assemble, workers_for
from blackstart.drills.world.shell import DirectShell
from blackstart.drills.world.traffic import Audience, Rates, Visitors
from blackstart.drills.world.world import World
from blackstart.model import Plan
from blackstart.recovery.snapshots import Snapshots
from blackstart.safeguards import Safeguards
from blackstart.seed import Seed
from blackstart.store import MetadataStore, ObjectStore
from blackstart.store.pointers import ObjectPointerLog

# Cache bytes of a node for each plan, as a share of what all pages of the plan weigh.
# Enterprise sites, the user's own among them, have more than they need.
QUOTA_SHARES = {Plan.FREE: 0.4, Plan.PRO: 0.6, Plan.GLOBAL: 0.9}
ENTRY_BYTES = 2_000
ENTERPRISE_BYTES = 512 * 1024 * 1024


async def build_world(
    store: MetadataStore,
    objects: ObjectStore,
    folder: Path,
    *,
    clock: VirtualClock,
    seed: Seed,
    t0: float,
    site_count: int,
    repositories: Sequence[UserRepository],
    safeguards: Safeguards,
    rates: Rates,
) -> World:
    """A platform with a past, at the present time of `clock`, on empty stores.

    `folder` takes git repositories and caches.
    """
    journal = Journal(clock, t0)
    fleet = plan_fleet(site_count, seed, folder / "repositories", repositories)
    fleet.make_repositories(clock.time())
    pointers = ObjectPointerLog(objects, "drill", clock)
    await seed_fleet(
        fleet,
        store,
        objects,
        start=clock.now(),
        seed=seed,
        pointers=pointers if "pointer-log" in safeguards else None,
        describe_trees="self-describing-trees" in safeguards,
    )
    await store.create_indexes()
    services = assemble(
        store,
        objects,
        clock=clock,
        seed=seed,
        journal=journal,
        safeguards=safeguards,
        quotas=_quotas(fleet),
        workers=workers_for(len(fleet.sites)),
        folder=folder,
        pointers=pointers,
    )
    visitors = Visitors(
        Audience(fleet),
        services.nodes,
        clock,
        journal,
        seed.fork("visitors").random,
        t0=t0,
        rates=rates,
    )
    return World(
        clock=clock,
        seed=seed,
        journal=journal,
        fleet=fleet,
        services=services,
        snapshots=Snapshots(objects),
        visitors=visitors,
        oracle=Oracle(fleet.commits, morning=await observe(store)),
        safeguards=safeguards,
        shell=DirectShell(store),
        t0=t0,
        folder=folder,
    )


def _quotas(fleet: Fleet) -> dict[Plan, int]:
    """Cache bytes of a node by plan: free sites share the least for what they are."""
    pages = dict.fromkeys(Plan, 0)
    for site in fleet.sites:
        pages[site.plan] += len(site.paths)
    quotas = {
        plan: max(4 * ENTRY_BYTES, int(pages[plan] * ENTRY_BYTES * share))
        for plan, share in QUOTA_SHARES.items()
    }
    return {**quotas, Plan.ENTERPRISE: ENTERPRISE_BYTES}
