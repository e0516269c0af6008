"""A node whose origin is another node: a second tier, or origin shield."""

import asyncio

import pytest

from blackstart.cdn.message import Headers, Request, Response, whole_body
from blackstart.cdn.node import Node
from blackstart.cdn.storage import Cache

QUOTAS = {"free": 1_000_000}
PAGE = Request("GET", "/", "a.example")


class NodeHop:
    """The way to another node, without sockets."""

    def __init__(self, node: Node | None = None) -> None:
        self.node = node

    async def send(self, request: Request) -> Response:
        assert self.node is not None
        return self.node.quick(request) or await self.node.answer(request)

    async def close(self) -> None:
        """Nothing to free."""


@pytest.fixture
def edges(clock, origin) -> list[Node]:
    shield = Node(clock, origin, Cache(clock, QUOTAS), name="shield")
    return [
        Node(clock, NodeHop(shield), Cache(clock, QUOTAS), name=name) for name in ("ams", "iad")
    ]


async def test_all_edges_together_ask_the_origin_once(edges, origin, clock) -> None:
    origin.says(cache_control="max-age=60", cache_tag="site-1")
    answers = await asyncio.gather(*(edge.answer(PAGE) for edge in edges for _ in range(3)))
    assert [await whole_body(answer.body) for answer in answers] == [b"page"] * 6
    assert len(origin.requests) == 1
    clock.advance(10)
    response = await edges[0].answer(PAGE)
    assert response.headers.get("age") == "10", "the time at the shield counts"


async def test_each_tier_says_what_it_did(edges, origin) -> None:
    origin.says(cache_control="max-age=60")
    await edges[0].answer(PAGE)
    response = await edges[1].answer(PAGE)
    assert response.headers.all("cache-status") == [
        "shield; hit; ttl=60",
        "iad; fwd=uri-miss; fwd-status=200; stored",
    ]
    assert origin.requests[0].headers.all("via") == ["1.1 ams", "1.1 shield"]


async def test_a_shield_that_leads_back_is_a_loop(clock) -> None:
    way = NodeHop()
    first = Node(clock, way, Cache(clock, QUOTAS), name="first")
    way.node = Node(clock, NodeHop(first), Cache(clock, QUOTAS), name="second")
    assert (await first.answer(PAGE)).status == 508


async def test_a_failing_origin_is_covered_at_the_edge_too(edges, origin, clock) -> None:
    origin.says(cache_control="max-age=60")
    await edges[0].answer(PAGE)
    clock.advance(61)
    origin.answer = Response(503, Headers([("retry-after", "10")]))
    response = await edges[0].answer(PAGE)
    assert (response.status, response.body) == (200, b"page")
