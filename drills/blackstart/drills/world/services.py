"""The platform of a drill: the classes that serve HTTP, joined by calls instead of sockets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import httpx2
from fastapi import FastAPI

from blackstart.builder.build import Builder
from blackstart.builder.git import Git
from blackstart.builder.worker import Worker
from blackstart.cdn.app import NodeApp
from blackstart.cdn.asgi import CdnApp
from blackstart.cdn.hop import AsgiHop
from blackstart.cdn.node import Node
from blackstart.cdn.rules.policy import Policy
from blackstart.cdn.storage.cache import Cache
from blackstart.clock import Event
from blackstart.control.app import control_app
from blackstart.control.builds import BuildService
from blackstart.control.deploys import DeployService
from blackstart.control.desk import Desk, open_desk
from blackstart.control.publish import Publisher
from blackstart.control.purge import NodePurge
from blackstart.control.queue import BuildQueue
from blackstart.drills.journal import Journal
from blackstart.drills.world.clock import VirtualClock
from blackstart.drills.world.distance import DistantObjects, DistantSource, DistantTransport
from blackstart.model import Plan
from blackstart.origin import Origin
from blackstart.repositories import RepositoryPolicy
from blackstart.safeguards import Safeguards
from blackstart.seed import Seed
from blackstart.store import MetadataStore, ObjectStore
from blackstart.store.pointers import PointerLog
from blackstart.store.purges import PurgeLogInMemory

NODE_NAMES = ("ams", "iad", "sin")
PURGE_TOKEN = "drill"
SITES_PER_WORKER = 100
MIN_WORKERS = 4
MAX_WORKERS = 12
LEASE_S = 900.0


@dataclass(frozen=True)
class Switches:
    """The safeguards of each service, apart, because people mend one service at a time."""

    origin: Safeguards
    background: Safeguards
    api: Safeguards
    pages: Safeguards

    @classmethod
    def all_from(cls, safeguards: Safeguards) -> Switches:
        return cls(*(safeguards.copy() for _ in range(4)))


@dataclass(frozen=True)
class Services:
    """Everything that runs; built by `assemble`."""

    store: MetadataStore
    objects: ObjectStore
    switches: Switches
    origin: Origin
    nodes: list[Node]
    desk: Desk
    workers: list[Worker]
    control: FastAPI
    purge: NodePurge

    @property
    def deploys(self) -> DeployService:
        return self.desk.deploys

    @property
    def publisher(self) -> Publisher:
        return self.desk.publisher

    @property
    def builds(self) -> BuildService:
        return self.desk.builds

    async def close(self) -> None:
        """Free what the services hold."""
        await self.purge.close()
        for node in self.nodes:
            await node.close()


def assemble(
    store: MetadataStore,
    objects: ObjectStore,
    *,
    clock: VirtualClock,
    seed: Seed,
    journal: Journal,
    safeguards: Safeguards,
    quotas: dict[Plan, int],
    workers: int,
    folder: Path,
    pointers: PointerLog,
) -> Services:
    """Build the platform over its stores.

    `quotas` are cache bytes by plan, for each node; `folder` takes git caches and checkouts.
    """
    switches = Switches.all_from(safeguards)
    origin = Origin(store, objects, safeguards=switches.origin)
    nodes = [
        _node(name, origin, clock, seed, quotas, stale_if_error="stale-if-error" in safeguards)
        for name in NODE_NAMES
    ]
    purge = NodePurge(
        [_client(node, clock, seed) for node in nodes],
        PURGE_TOKEN,
        PurgeLogInMemory(),
        clock=clock,
        seed=seed.fork("purges"),
    )
    doorbell = clock.event()
    policy = RepositoryPolicy([folder])
    desk = open_desk(
        store,
        DistantObjects(objects, clock, seed.fork("uploads").random),
        purge,
        clock=clock,
        seed=seed,
        safeguards=switches.background,
        events=journal,
        policy=policy,
        doorbell=doorbell,
        pointers=pointers,
    )
    control = control_app(desk, api_safeguards=switches.api, pages_safeguards=switches.pages)
    git = Git(folder / "git-cache", policy)
    source = DistantSource(git, clock, seed.fork("git").random)
    builder = Builder(store, desk.deploys, desk.publisher, source, folder=folder)
    queue = BuildQueue(store, clock=clock, events=journal, lease_s=LEASE_S)
    crew = [
        _worker(number, store, queue, builder, clock, journal, doorbell)
        for number in range(1, workers + 1)
    ]
    return Services(store, objects, switches, origin, nodes, desk, crew, control, purge)


def workers_for(sites: int) -> int:
    """How many build workers a fleet of that size has."""
    return min(MAX_WORKERS, max(MIN_WORKERS, sites // SITES_PER_WORKER))


def _node(
    name: str,
    origin: Origin,
    clock: VirtualClock,
    seed: Seed,
    quotas: dict[Plan, int],
    *,
    stale_if_error: bool,
) -> Node:
    random = seed.fork(f"hop-{name}").random
    hop = AsgiHop(origin, clock, lambda: random.uniform(0.02, 0.08))
    cache = Cache(clock, {plan.value: size for plan, size in quotas.items()})
    return Node(clock, hop, cache, name=name, policy=Policy(stale_if_error=stale_if_error))


def _client(node: Node, clock: VirtualClock, seed: Seed) -> httpx2.AsyncClient:
    app = httpx2.ASGITransport(app=CdnApp(NodeApp(node, PURGE_TOKEN)))
    transport = DistantTransport(app, clock, seed.fork(f"purge-{node.name}").random)
    return httpx2.AsyncClient(transport=transport, base_url=f"http://{node.name}")


def _worker(
    number: int,
    store: MetadataStore,
    queue: BuildQueue,
    builder: Builder,
    clock: VirtualClock,
    journal: Journal,
    doorbell: Event,
) -> Worker:
    return Worker(
        f"worker-{number}",
        store,
        queue,
        builder,
        clock=clock,
        events=journal,
        doorbell=doorbell,
        poll_s=None,
        beat_s=None,
    )
