"""Once a purge has returned, no node shows a visitor what was published before it.

Two who publish, three nodes and their visitors act on the virtual clock. Ways are cut and healed,
messages and answers get lost or arrive much later, the origin is slow, nodes restart with their
store or without. And the promise is broken on purpose, to see that it would be noticed.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

from blackstart.cdn.app import NodeApp
from blackstart.cdn.asgi import CdnApp
from blackstart.cdn.message import Headers, Request, Response, pieces
from blackstart.cdn.node import Node
from blackstart.cdn.purges import Place, Purges
from blackstart.cdn.storage.cache import Cache
from blackstart.cdn.storage.fetch import Fetch
from blackstart.control import purge as purge_module
from blackstart.control.purge import NodePurge
from blackstart.drills.world.clock import VirtualClock
from blackstart.errors import HopError, StorageError
from blackstart.model.purge import PurgeOrder
from blackstart.seed import Seed
from blackstart.store.purges import PurgeLogInMemory

START_S = 1_486_000_000.0
LEASE_S = 10.0
LENGTH_S = 160.0
PATIENCE_S = 5.0
SITES = ("a", "b")
NODES = ("n1", "n2", "n3")
FIELDS = [("cache-control", "max-age=100, stale-if-error=500, stale-while-revalidate=500")]


class SlowLog(PurgeLogInMemory):
    """A log at a distance: others act between the question, the deed and the answer."""

    def __init__(self, world: World) -> None:
        super().__init__(kept=12)
        self._world = world

    async def append(self, *given: Any) -> PurgeOrder:
        async with self._world.moment(0.1):
            return await super().append(*given)

    async def latest(self, count: int) -> list[PurgeOrder]:
        async with self._world.moment(0.1):
            return await super().latest(count)

    async def since(self, position: str) -> list[PurgeOrder] | None:
        async with self._world.moment(0.1):
            return await super().since(position)


class Machine:
    """Where a node runs: its disk, and what is running now."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.cut_off = False  # from the origin
        self.cache = Cache(world.clock)
        self.place = KeptPlace(world)
        self.node = self._started()

    async def restart(self, *, keep: bool) -> None:
        """Crash and come back, with what was stored and how far the purges were, or without."""
        self.place.is_current = False
        dead = self.node
        if not keep:
            self.cache = Cache(self.world.clock)
        kept = self.place.position if keep and not self.world.loses_places else None
        self.place = KeptPlace(self.world, kept)
        self.node = self._started()
        await dead.close()
        await self.node.start()

    async def send(self, request: Request) -> Response:
        """The origin, as this node's hop: `Hop`."""
        world = self.world
        async with world.moment(world.random.choice([0.1, 0.1, 0.1, 25.0])):
            if self.cut_off:
                raise HopError("the origin cannot be reached")
            number = world.published[request.host]
        etag = f'"{number}"'
        tags = ("cache-tag", f"site-{request.host}")
        fields = Headers([*FIELDS, ("etag", etag), tags])
        if request.headers.get("if-none-match") == etag:
            return Response(304, fields)
        return Response(200, fields, world.body(number))

    async def close(self) -> None:
        """The hop's; it holds nothing."""

    def _started(self) -> Node:
        world = self.world
        return Mortal(
            world.clock, self, self.cache, name=self.name, lease_s=LEASE_S, place=self.place
        )


class Mortal(Node):
    """A node that carries nothing out once it has crashed."""

    async def purge(self, tags: Iterable[str], *, soft: bool = False) -> int:
        assert isinstance(self.hop, Machine)
        if self.hop.node is not self:
            raise StorageError("the node has crashed")
        return await super().purge(tags, soft=soft)


class KeptPlace(Place):
    """A file with the position; a write takes a moment, in which the node may crash."""

    def __init__(self, world: World, position: str | None = None) -> None:
        self.position = position
        self.is_current = True
        self._world = world

    async def read(self) -> str | None:
        return self.position

    async def write(self, position: str) -> None:
        async with self._world.moment(0.2):
            if not self.is_current:
                raise StorageError("the node has crashed")
            self.position = position


class Way(httpx2.AsyncBaseTransport):
    """From one sender to one node: slow, forgetful, cut at times."""

    def __init__(self, world: World, machine: Machine) -> None:
        self.world = world
        self.machine = machine
        self.is_cut = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        world = self.world
        async with world.moment(0.1):
            if self.is_cut or world.chance(0.05):
                raise httpx2.ConnectError("lost on its way")
        if world.chance(0.1):
            # It sits in some buffer: the sender gives up, and the node gets it all the same.
            world.clock.spawn("straggler", self._later(request))
            await world.clock.sleep(PATIENCE_S)
            raise httpx2.ReadTimeout("no answer")
        response = await self._deliver(request)
        async with world.moment(0.1):
            if world.chance(0.05):
                raise httpx2.ReadError("the answer was lost")
        return response

    async def _later(self, request: httpx2.Request) -> None:
        await self.world.clock.sleep(self.world.random.uniform(0, 4 * LEASE_S))
        await self._deliver(request)

    async def _deliver(self, request: httpx2.Request) -> httpx2.Response:
        app = httpx2.ASGITransport(app=CdnApp(NodeApp(self.machine.node, "secret")))
        return await app.handle_async_request(request)


@dataclass
class World:
    """Everything, and what is known to be true."""

    seed: Seed
    loses_places: bool = False
    wrong: list[str] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.random = self.seed.fork("world").random
        self.clock = VirtualClock(START_S, self.seed)
        self.published = dict.fromkeys(SITES, 0)
        self.acknowledged = dict.fromkeys(SITES, 0)
        self.machines = [Machine(self, name) for name in NODES]
        self.ways = [[Way(self, machine) for machine in self.machines] for _ in range(2)]
        self.orders = SlowLog(self)
        self.purges = [
            NodePurge(
                [
                    httpx2.AsyncClient(transport=way, base_url=f"http://{way.machine.name}")
                    for way in ways
                ],
                "secret",
                self.orders,
                clock=self.clock,
                seed=self.seed.fork(f"purge-{number}"),
                lease_s=LEASE_S,
            )
            for number, ways in enumerate(self.ways)
        ]
        self.is_calm = False

    def chance(self, share: float) -> bool:
        return not self.is_calm and self.random.random() < share

    @contextlib.asynccontextmanager
    async def moment(self, seconds: float) -> AsyncIterator[None]:
        """Some time before and after."""
        await self.clock.sleep(self.random.uniform(0, seconds))
        yield
        await self.clock.sleep(self.random.uniform(0, seconds))

    def body(self, number: int) -> Any:
        text = f"{number:08}".encode()
        return text if self.random.random() < 0.5 else self._slowly(text)

    async def _slowly(self, text: bytes) -> AsyncIterator[bytes]:
        for at in (0, 4):
            await self.clock.sleep(self.random.uniform(0, 3.0))
            yield text[at : at + 4]

    async def visit(self, machine: Machine, site: str) -> None:
        floor = self.acknowledged[site]
        request = Request("GET", "/", site)
        node = machine.node
        try:
            quick = node.quick(request)
            response = quick or await node.answer(request)
            shown = int(b"".join([piece async for piece in pieces(response.body)]))
        except (HopError, ValueError):
            # It crashed meanwhile, or says in words that it cannot answer.
            self.counted["unanswered"] += 1
            return
        self.counted["quick" if quick else "slow"] += 1
        if shown < floor:
            status = response.headers.get("cache-status")
            self.wrong.append(f"{machine.name} showed {site} {shown} after {floor}: {status}")

    # Actors -------------------------------------------------------------------------------

    async def visitors(self, machine: Machine) -> None:
        while True:
            await self.clock.sleep(self.random.expovariate(1.0))
            for site in SITES:
                self.clock.spawn("visit", self.visit(machine, site))

    async def publisher(self, purge: NodePurge) -> None:
        while True:
            await self.clock.sleep(self.random.expovariate(1 / 8))
            site = self.random.choice(SITES)
            self.published[site] += 1
            number = self.published[site]
            await purge([f"site-{site}"])
            self.counted["purges"] += 1
            self.acknowledged[site] = max(self.acknowledged[site], number)

    async def pings(self, purge: NodePurge) -> None:
        async with purge.pinging():
            await self.clock.event().wait()

    async def trouble(self, cut: Callable[[bool], None]) -> None:
        """Cuts something for a while, now and then."""
        while True:
            await self.clock.sleep(self.random.expovariate(1 / 30))
            cut(True)
            await self.clock.sleep(self.random.expovariate(1 / LEASE_S))
            cut(False)

    async def crashes(self, machine: Machine) -> None:
        while True:
            await self.clock.sleep(self.random.expovariate(1 / 40))
            await machine.restart(keep=self.random.random() < 0.6)
            self.counted["restarts"] += 1

    async def live(self) -> None:
        """All of it, then a calm end in which everything must come right."""
        for purge in self.purges:
            self.clock.spawn("publisher", self.publisher(purge))
            self.clock.spawn("pings", self.pings(purge))
        causes = []
        for machine in self.machines:
            self.clock.spawn("visitors", self.visitors(machine))
            causes.append(self.clock.spawn("crashes", self.crashes(machine)))
            both = [ways[self.machines.index(machine)] for ways in self.ways]
            for cut in (_cutter(machine, "cut_off"), _cutter(both, "is_cut")):
                causes.append(self.clock.spawn("trouble", self.trouble(cut)))
        try:
            await self.clock.run_until(START_S + LENGTH_S)
            self.is_calm = True
            for cause in causes:
                await self.clock.kill(cause)
            for machine in self.machines:
                machine.cut_off = False
            for ways in self.ways:
                for way in ways:
                    way.is_cut = False
            await self.clock.run_until(START_S + LENGTH_S + 6 * LEASE_S)
        finally:
            await self.clock.close()


def _cutter(what: object, name: str) -> Callable[[bool], None]:
    def cut(is_cut: bool) -> None:
        for each in what if isinstance(what, list) else [what]:
            setattr(each, name, is_cut)

    return cut


async def lived(seed: int, **how: Any) -> World:
    world = World(Seed(seed), **how)
    await world.live()
    return world


SEEDS = range(5)
SWEEP = range(100, 100 + 10 * int(os.environ.get("BLACKSTART_SWEEP", "20")))


@pytest.mark.parametrize("seed", SEEDS)
async def test_no_node_shows_an_older_deploy_after_a_purge(seed: int) -> None:
    world = await lived(seed)
    assert world.wrong == []
    assert all(machine.node.purges.heard for machine in world.machines)
    for kind in ("quick", "slow", "unanswered", "purges", "restarts"):
        assert world.counted[kind] > 3, "or the run shows nothing"


@pytest.mark.slow
async def test_the_same_seed_tells_the_same_story() -> None:
    assert (await lived(1)).counted == (await lived(1)).counted


@pytest.mark.slow
@pytest.mark.parametrize("seed", SWEEP)
async def test_no_node_shows_an_older_deploy_in_many_more_stories(seed: int) -> None:
    assert (await lived(seed)).wrong == []


@pytest.mark.slow
async def test_a_node_that_does_not_know_where_it_was_starts_anew() -> None:
    for seed in range(2):
        assert (await lived(seed, loses_places=True)).wrong == []


# --- Broken on purpose ---


async def noticed(seeds: Iterable[int] = range(20), **how: Any) -> bool:
    """Whether one of the stories shows an older deploy."""
    for seed in seeds:
        if (await lived(seed, **how)).wrong:
            return True
    return False


async def test_a_node_without_a_lease_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def trust(purges: Purges, *_given: object) -> None:
        purges.trusted_until = float("inf")

    monkeypatch.setattr(Purges, "_prolong", trust)
    assert await noticed()


@pytest.mark.slow
async def test_a_lease_that_counts_from_the_arrival_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def count_from_now(purges: Purges, *_given: object) -> None:
        purges.trusted_until = purges._clock.time() + LEASE_S

    monkeypatch.setattr(Purges, "_prolong", count_from_now)
    assert await noticed()


@pytest.mark.slow
async def test_a_restart_that_trusts_the_disk_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Purges.open

    async def trust(purges: Purges) -> None:
        await right(purges)
        purges.trusted_until = purges._clock.time() + LEASE_S

    monkeypatch.setattr(Purges, "open", trust)
    assert await noticed()


@pytest.mark.slow
async def test_a_position_that_is_kept_before_the_deed_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = Purges.forget

    async def hurry(purges: Purges, order: Any) -> int:
        await purges._reach(order.position)
        await purges._clock.sleep(2.0)  # The deed takes its time, in which the node may crash.
        return await right(purges, order)

    monkeypatch.setattr(Purges, "forget", hurry)
    assert await noticed()


@pytest.mark.slow
async def test_a_gap_that_is_passed_over_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def take_last(_purges: Purges, _after: str, orders: Any) -> Any:
        return orders[-1:]

    monkeypatch.setattr(Purges, "_missed", take_last)
    assert await noticed()


async def test_a_store_after_a_purge_of_what_was_fetched_before_it_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Fetch, "outdates", lambda *_given: False)
    assert await noticed()


@pytest.mark.slow
async def test_a_visitor_who_joins_a_fetch_older_than_a_lease_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Purges, "may_share", lambda *_given: True)
    assert await noticed(range(60))


async def test_a_sender_that_does_not_wait_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge_module, "DRIFT", -0.95)
    assert await noticed()
