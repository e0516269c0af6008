"""The bad migration: one `update_many` that overwrites the metadata of a share of all deploys."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from random import Random

from blackstart.drills.oracle import State
from blackstart.drills.world.fleet import FleetSite
from blackstart.drills.world.world import World
from blackstart.model import DeployState, Plan
from blackstart.wire import CommandError

SHARE = 0.052


class OverwriteMetadata:
    """Overwrites `metadata` whole where the author meant to set one field of it.

    Which deploys are hit is drawn from the seed, so that each kind the review
    tells of is among them: sites of every plan, deploys newer than the newest
    snapshot, interrupted uploads, and every repository the user brought.
    """

    def __init__(self, share: float = SHARE) -> None:
        self.share = share

    async def inject(self, world: World) -> int:
        """Run the migration; returns how many deploys MongoDB says it changed."""
        random = world.seed.fork("fault").random
        victims = choose_victims(world.oracle.before, world.fleet.sites, self.share, random)
        try:
            done = await world.shell.update_many(
                "deploys", {"_id": {"$in": victims}}, {"$set": {"metadata": {"schema": 2}}}
            )
        except CommandError as error:
            world.journal("fault.stopped", "deploys.metadata", why=error.errmsg)
            return 0
        world.journal(
            "fault.injected", "deploys.metadata", matched=done.matched, modified=done.modified
        )
        return done.modified


def victim_count(deploys: int, share: float = SHARE) -> int:
    """The share of all deploys, rounded to a whole deploy."""
    return round(deploys * share)


def choose_victims(state: State, fleet: list[FleetSite], share: float, random: Random) -> list[str]:
    """Ids of the deploys to hit, sorted: the telling kinds first, the rest by lot."""
    wanted = victim_count(len(state.deploys), share)
    chosen = dict.fromkeys(_telling(state, fleet, random))
    others = [key for key in sorted(state.deploys) if key not in chosen]
    random.shuffle(others)
    return sorted([*chosen, *others][:wanted])


def _telling(state: State, fleet: list[FleetSite], random: Random) -> Iterator[str]:
    """The user's own sites, then one of each kind in turn until the kinds are told."""
    published = {raw["name"]: str(raw["published_deploy_id"]) for raw in state.sites.values()}
    yield from (published[site.name] for site in fleet if site.user is not None)

    def some(count: int, sites: list[FleetSite]) -> list[str]:
        return [published[site.name] for site in random.sample(sites, k=min(count, len(sites)))]

    generated = [site for site in fleet if site.user is None and not site.interrupted]
    quiet = [site for site in generated if not site.push_during_incident]
    cut_off = sorted(
        key for key, raw in state.deploys.items() if raw["state"] == DeployState.UPLOADING
    )
    kinds = [
        random.sample(cut_off, k=min(3, len(cut_off))),
        some(3, [site for site in quiet if site.plan is Plan.FREE]),
        some(2, [site for site in quiet if _lone_newcomer(site)]),
        some(1, [site for site in quiet if site.plan is Plan.ENTERPRISE]),
        some(1, [site for site in quiet if site.plan is Plan.GLOBAL]),
        some(1, [site for site in generated if site.published < site.deployed - 1]),
        some(1, [site for site in quiet if site.plan is Plan.PRO]),
    ]
    for row in zip_longest(*kinds):
        yield from (deploy_id for deploy_id in row if deploy_id is not None)


def _lone_newcomer(site: FleetSite) -> bool:
    """On the free plan, deployed since the newest snapshot, and nobody pushes it again."""
    return site.plan is Plan.FREE and site.push_since_snapshot
