"""Tests of telling the nodes, over HTTP in this process."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackstart.cdn.app import NodeApp
from blackstart.cdn.asgi import CdnApp
from blackstart.cdn.hop import AsgiHop
from blackstart.cdn.node import Node
from blackstart.cdn.storage.cache import Cache
from blackstart.clock import Clock
from blackstart.control import line
from blackstart.control.purge import NodePurge, custom_tag, deploy_tag, no_purge, site_tag
from blackstart.drills.world.clock import VirtualClock
from blackstart.errors import DatabaseError, HopError
from blackstart.model.purge import What
from blackstart.seed import Seed
from blackstart.store.purges import PurgeLogInMemory

START_S = 1_486_000_000.0
LEASE_S = 15.0


class Far(httpx2.AsyncBaseTransport):
    """The way to one node: notes what is sent, may lose it on the way there or back."""

    def __init__(self, node: Node, clock: Clock) -> None:
        self.node = node
        self.clock = clock
        self.sent: list[Any] = []
        self.answers: list[int] = []
        self.is_down = False
        self.loses_answers = False
        self._app = httpx2.ASGITransport(app=CdnApp(NodeApp(node, "secret")))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.sent.append(json.loads(request.content))
        await self.clock.sleep(0.05)
        if self.is_down:
            raise httpx2.ConnectError("nobody listens")
        response = await self._app.handle_async_request(request)
        await self.clock.sleep(0.05)
        self.answers.append(response.status_code)
        if self.loses_answers:
            raise httpx2.ReadError("cut off")
        return response


class Platform:
    """Two nodes and their log of purges, on a virtual clock."""

    def __init__(self) -> None:
        self.clock = VirtualClock(START_S, Seed(1))
        self.orders = PurgeLogInMemory()
        self.ways = [self._way(name) for name in ("n1", "n2")]

    def purge(
        self, lease_s: float | None = None, token: str = "secret", seed: int = 1
    ) -> NodePurge:
        nodes = [
            httpx2.AsyncClient(transport=way, base_url=f"http://{way.node.name}")
            for way in self.ways
        ]
        how = {"clock": self.clock, "seed": Seed(seed), "lease_s": lease_s}
        return NodePurge(nodes, token, self.orders, **how)

    async def run(self, story: Any, seconds: float = 1_000.0) -> None:
        self.clock.spawn("story", story)
        await self.clock.run_until(self.clock.time() + seconds)

    @property
    def positions(self) -> list[str | None]:
        return [way.node.purges.position for way in self.ways]

    def _way(self, name: str) -> Far:
        hop = AsgiHop(None, self.clock, lambda: 0.0)  # type: ignore[arg-type]
        return Far(Node(self.clock, hop, Cache(self.clock), name=name), self.clock)


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    platform = Platform()
    yield platform
    await platform.clock.close()


async def test_every_node_gets_the_order_in_one_request(platform: Platform) -> None:
    purge = platform.purge()

    async def story() -> None:
        for number in range(3):
            await purge([f"site-{number}"])

    await platform.run(story())
    for way in platform.ways:
        tags = [[order["tags"] for order in message["orders"]] for message in way.sent]
        assert tags == [[["site-0"]], [["site-1"]], [["site-2"]]]
        assert way.answers == [200, 200, 200]
    newest = await platform.orders.latest(1)
    assert platform.positions == [newest[0].position] * 2
    assert newest[0].generation == 3


async def test_without_a_lease_a_node_that_does_not_confirm_is_named(platform: Platform) -> None:
    purge = platform.purge()
    one = platform.ways[0]
    one.is_down = True

    async def story() -> None:
        with pytest.raises(HopError, match="http://n1: nobody listens") as caught:
            await purge(["site-1"])
        assert "http://n2" not in str(caught.value)
        one.is_down = False
        await purge(["site-2"])

    await platform.run(story())
    caught_up = [[order["tags"] for order in message["orders"]] for message in one.sent][-1]
    assert caught_up == [["site-1"], ["site-2"]], "what it missed comes with the next order"
    assert platform.positions[0] == platform.positions[1]


async def test_a_wrong_token_is_no_confirmation(platform: Platform) -> None:
    async def story() -> None:
        with pytest.raises(HopError, match="401"):
            await platform.purge(token="wrong")(["site-1"])

    await platform.run(story())


@pytest.mark.parametrize("answer", [b"", b"{}", b"[]", b'{"position": "1-a", "token": null}'])
async def test_an_answer_without_sense_is_no_confirmation(
    platform: Platform, answer: bytes
) -> None:
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, content=answer))
    node = httpx2.AsyncClient(transport=transport, base_url="http://n1")
    purge = NodePurge([node], "t", platform.orders, clock=platform.clock, seed=Seed(1))
    with pytest.raises(HopError, match="makes no sense"):
        await purge(["site-1"])


async def test_two_who_purge_share_the_log(platform: Platform) -> None:
    first, second = platform.purge(LEASE_S), platform.purge(LEASE_S, seed=2)

    async def story() -> None:
        for number in range(4):
            await (first, second)[number % 2]([f"site-{number}"])

    async def beside() -> None:
        await second(["beside"])

    platform.clock.spawn("beside", beside())
    await platform.run(story())
    log = await platform.orders.latest(10)
    assert [order.generation for order in log] == [1, 2, 3, 4, 5]
    assert platform.positions == [log[-1].position] * 2


async def test_a_node_beyond_the_log_forgets_everything(platform: Platform) -> None:
    platform.orders = PurgeLogInMemory(kept=3)
    one, two = platform.ways
    purge = platform.purge()

    async def story() -> None:
        await purge(["first"])
        one.is_down = True
        for number in range(4):
            with pytest.raises(HopError):
                await purge([f"site-{number}"])
        one.is_down = False
        await purge(["last"])

    await platform.run(story())
    assert one.sent[-1]["after"] is None
    assert None not in [message["after"] for message in two.sent]
    assert platform.positions[0] == platform.positions[1]


async def test_a_log_that_went_back_in_time_is_noticed(platform: Platform) -> None:
    async def story() -> None:
        purge = platform.purge()
        for _ in range(3):
            await purge(["site-1"])
        platform.orders = PurgeLogInMemory()  # Restored from before there were any.
        await platform.purge(seed=2)(["site-2"])
        for _ in range(3):
            await platform.purge(seed=3)(["site-3"])

    await platform.run(story())
    assert [message["after"] for message in platform.ways[0].sent][3:6] == ["0", None, "0"]
    newest = await platform.orders.latest(1)
    assert platform.positions == [newest[0].position] * 2


async def test_many_orders_come_in_several_messages(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "AT_ONCE", 4)
    one = platform.ways[0]
    purge = platform.purge()

    async def story() -> None:
        await purge(["first"])
        one.is_down = True
        for number in range(9):
            with pytest.raises(HopError):
                await purge([f"site-{number}"])
        one.is_down = False
        await purge(["last"])

    await platform.run(story())
    last = one.sent[-3:]
    assert [(len(each["orders"]), each["more"]) for each in last] == [
        (4, True),
        (4, True),
        (2, False),
    ]


async def test_an_order_that_cannot_be_written_down_is_not_acknowledged(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_given: object) -> None:
        raise DatabaseError("MongoDB is away")

    monkeypatch.setattr(platform.orders, "append", fail)
    with pytest.raises(HopError, match="not ordered: MongoDB is away"):
        await platform.purge(LEASE_S)(["site-1"])
    assert platform.ways[0].sent == []


async def test_a_platform_without_nodes_has_nobody_to_tell() -> None:
    await no_purge(["site-1"])


# --- With a lease ---


async def test_a_node_that_stays_silent_holds_a_purge_up_for_a_lease(platform: Platform) -> None:
    purge = platform.purge(LEASE_S)
    ended = []

    async def story() -> None:
        async with purge.pinging():
            await platform.clock.sleep(20)
            assert all(way.node.purges.heard for way in platform.ways)
            platform.ways[0].is_down = True
            began_at = platform.clock.time()
            await purge(["site-1"])
            ended.append(platform.clock.time() - began_at)
            assert [way.node.purges.heard for way in platform.ways] == [False, True]
            platform.ways[0].is_down = False
            await platform.clock.sleep(6)
            assert all(way.node.purges.heard for way in platform.ways)
            assert platform.positions[0] == platform.positions[1]
            await purge(["site-2"])

    await platform.run(story())
    assert ended == [pytest.approx(LEASE_S * 1.05)]
    samples = [s for metric in purge.silent.collect() for s in metric.samples]
    counted = {s.labels["node"]: s.value for s in samples if s.name.endswith("_total")}
    assert counted == {"http://n1": 1.0}


async def test_a_lost_answer_is_asked_for_again(platform: Platform) -> None:
    purge = platform.purge(LEASE_S)
    one = platform.ways[0]
    one.loses_answers = True
    ended = []

    async def heal() -> None:
        await platform.clock.sleep(1)
        one.loses_answers = False

    async def story() -> None:
        await purge(["site-1"])
        ended.append(platform.clock.time() - START_S)

    platform.clock.spawn("heal", heal())
    await platform.run(story())
    assert ended[0] < 3
    assert platform.positions[0] == platform.positions[1]


async def test_pings_keep_a_lease_and_its_end_ends_it(platform: Platform) -> None:
    purge = platform.purge(LEASE_S)
    node = platform.ways[0].node

    async def story() -> None:
        async with purge.pinging():
            for _ in range(20):
                await platform.clock.sleep(7)
                assert node.purges.heard
        await platform.clock.sleep(LEASE_S)
        assert not node.purges.heard

    await platform.run(story())
    assert len(platform.ways[0].sent) < 40


async def test_urls_and_everything_can_be_ordered(platform: Platform) -> None:
    async def story() -> None:
        await platform.purge().order(What(urls=("http://a.example/",), soft=True))
        await platform.purge(seed=2).order(What(everything=True))

    await platform.run(story())
    orders = platform.ways[0].sent[-1]["orders"]
    assert [(order["urls"], order["everything"], order["soft"]) for order in orders] == [
        (["http://a.example/"], False, True),
        ([], True, False),
    ]


@given(st.text("0123456789abcdef", min_size=24, max_size=24), st.text(), st.text())
def test_a_sites_own_tag_is_nobody_elses(site_id: str, tag: str, other_tag: str) -> None:
    other_id = "f" * 24 if site_id != "f" * 24 else "e" * 24
    mine = custom_tag(site_id, tag)
    assert mine == custom_tag(site_id, tag.lower())
    assert mine not in (custom_tag(other_id, other_tag), site_tag(other_id), deploy_tag(other_id))
