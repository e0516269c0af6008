"""A drill: one run of an incident, from an empty platform to a judged result."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from blackstart.drills.checks import PREVENTED, RULES, Check
from blackstart.drills.checks.safety import FAULT
from blackstart.drills.evidence import Evidence
from blackstart.drills.faults.overwrite_metadata import victim_count
from blackstart.drills.incidents.incident import Incident, Step
from blackstart.drills.last_reader import read_everything
from blackstart.drills.oracle import observe
from blackstart.drills.responders import Responders
from blackstart.drills.world.build import build_world
from blackstart.drills.world.clock import VirtualClock
from blackstart.drills.world.day import start_day
from blackstart.drills.world.fleet import check_site_count
from blackstart.drills.world.guarding import guarded, head_start_s
from blackstart.drills.world.repositories import UserRepository
from blackstart.drills.world.world import World
from blackstart.errors import UsageError
from blackstart.safeguards import Safeguards
from blackstart.seed import Seed
from blackstart.store import MetadataStore, ObjectStore

READING_S = 24 * 3_600.0
JUST_BEFORE_S = 0.001


@dataclass(frozen=True)
class Order:
    """What somebody asked to be drilled. Raises: UsageError when no such fleet can be made."""

    incident: Incident
    sites: int
    seed: int
    safeguards: Safeguards = field(default_factory=Safeguards)
    repositories: Sequence[UserRepository] = ()

    def __post_init__(self) -> None:
        check_site_count(self.sites)


@dataclass(frozen=True)
class Verdict:
    """What a drill ends with: all that was seen, and how it is judged.

    `own_sites` are the names of the sites made of the user's repositories.
    """

    evidence: Evidence
    checks: list[Check]
    simulated_s: float
    own_sites: Sequence[str] = ()


class Drill:
    """Runs an order once; `phase` and `world` can be watched meanwhile."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.phase = "starting"
        self.world: World | None = None
        self._seed = Seed(order.seed).fork(order.incident.name)
        self._t0 = order.incident.fault_time.timestamp()
        self._clock = VirtualClock(self._t0 + order.incident.morning_s, self._seed)

    async def run(self, store: MetadataStore, objects: ObjectStore, folder: Path) -> Verdict:
        """Live through the whole day on empty stores.

        `folder` takes repositories and git caches; it is the caller's to remove.
        Raises: UsageError when the order cannot be filled; other BlackstartErrors
        when a store or git fails.
        """
        async with AsyncExitStack() as stack:
            world = await self._build(store, objects, folder)
            try:
                world = await stack.enter_async_context(guarded(world, self.order.incident.review))
                await self._live(world)
            finally:
                await self._clock.close()
                await world.services.close()
        self.phase = "checking"
        evidence = Evidence(world.journal, world.oracle, world.safeguards)
        simulated_s = self.order.incident.end_s - self.order.incident.morning_s
        own_sites = [site.name for site in world.fleet.sites if site.user is not None]
        return Verdict(evidence, _judge(evidence), simulated_s, own_sites)

    async def _build(self, store: MetadataStore, objects: ObjectStore, folder: Path) -> World:
        self.phase = "building the fleet"
        order = self.order
        world = await build_world(
            store,
            objects,
            folder,
            clock=self._clock,
            seed=self._seed,
            t0=self._t0,
            site_count=order.sites,
            repositories=order.repositories,
            safeguards=order.safeguards,
            rates=order.incident.rates(order.sites),
        )
        room = victim_count(len(world.oracle.morning.deploys), order.incident.fault.share)
        if 0 < room < len(order.repositories):
            raise UsageError(
                f"the fault hits {room} deploys, too few for {len(order.repositories)} "
                "repositories of your own",
                hint="choose more --sites",
            )
        self.world = world
        return world

    async def _live(self, world: World) -> None:
        """The day. It ends at once when the fault neither took effect nor was stopped."""
        incident = self.order.incident
        end = self._t0 + incident.end_s
        self.phase = "warming the caches"
        start_day(world, snapshot_s=incident.snapshot_s, end_s=incident.end_s)
        await self._clock.run_until(self._t0 - JUST_BEFORE_S - head_start_s(world))
        self.phase = "the fault"
        await self._try_to_break(world)
        if world.oracle.hit:
            self.phase = "outage and response"
            team = Responders(world)
            for step in incident.runbook(world.safeguards):
                _schedule(world, team, step)
        elif world.journal.of("fault.stopped"):
            self.phase = "a day like any other"
        else:
            return
        await self._clock.run_until(end)
        self.phase = "reading every page"
        await self._clock.close()
        self._clock.spawn("oracle", read_everything(world))
        await self._clock.run_until(end + READING_S)
        world.oracle.final = await observe(world.services.store, world.oracle.before)

    async def _try_to_break(self, world: World) -> None:
        """Let the author of the fault act, until it happened or was stopped."""
        author = world.at(-head_start_s(world), "migration", lambda: self._break(world))
        await self._clock.run_until(self._t0)
        while not author.ended:
            await self._clock.run_until(self._clock.time() + 1.0)

    async def _break(self, world: World) -> None:
        """Fault and both looks in one turn: nothing else can change a document in between.

        What takes its time, because it has to wait, is looked at by whoever sends it.
        """
        oracle, store = world.oracle, world.services.store
        oracle.before = oracle.after = await observe(store, oracle.morning)
        asked_at = self._clock.time()
        await self.order.incident.fault.inject(world)
        if self._clock.time() == asked_at:
            oracle.after = await observe(store, oracle.before)


def _schedule(world: World, team: Responders, step: Step) -> None:
    async def act() -> None:
        world.journal("runbook", step.what)
        await step.act(team)

    world.at(step.offset_s, step.who, act)


def _judge(evidence: Evidence) -> list[Check]:
    if evidence.prevented:
        return [rule.run(evidence) for rule in PREVENTED]
    if evidence.hit:
        return [rule.run(evidence) for rule in RULES]
    why = "not run: the fault did not take effect"
    return [rule.run(evidence) if rule is FAULT else rule.not_run(evidence, why) for rule in RULES]
