"""Tests of telling the nodes, over HTTP in this process."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackstart.control.purge import NodePurge, custom_tag, deploy_tag, no_purge, site_tag
from blackstart.errors import HopError


class Node:
    """Takes a purge, or does not."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.asked: list[tuple[str, str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        token = dict(scope["headers"])[b"authorization"].decode()
        self.asked.append((scope["path"], token, json.loads((await receive())["body"])))
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def client(node: Node, name: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=node), base_url=f"http://{name}")


@pytest.fixture
async def nodes() -> AsyncIterator[tuple[Node, Node, NodePurge]]:
    one, two = Node(), Node()
    purge = NodePurge([client(one, "n1"), client(two, "n2")], "secret")
    yield one, two, purge
    await purge.close()


async def test_every_node_is_told_which_tags_with_the_token(
    nodes: tuple[Node, Node, NodePurge],
) -> None:
    one, two, purge = nodes
    await purge(["site-1", "site-2"])
    expected = ("/.blackstart/purge", "Bearer secret", {"tags": ["site-1", "site-2"]})
    assert one.asked == two.asked == [expected]


async def test_a_node_that_refuses_is_named_and_the_others_are_told_all_the_same(
    nodes: tuple[Node, Node, NodePurge],
) -> None:
    one, two, purge = nodes
    one.status = 500
    with pytest.raises(HopError, match="http://n1") as caught:
        await purge(["site-1"])
    assert "http://n2" not in str(caught.value)
    assert len(two.asked) == 1


async def test_a_platform_without_nodes_has_nobody_to_tell() -> None:
    await no_purge(["site-1"])


@given(st.text("0123456789abcdef", min_size=24, max_size=24), st.text(), st.text())
def test_a_sites_own_tag_is_nobody_elses(site_id: str, tag: str, other_tag: str) -> None:
    other_id = "f" * 24 if site_id != "f" * 24 else "e" * 24
    mine = custom_tag(site_id, tag)
    assert mine == custom_tag(site_id, tag.lower())
    assert mine not in (custom_tag(other_id, other_tag), site_tag(other_id), deploy_tag(other_id))
