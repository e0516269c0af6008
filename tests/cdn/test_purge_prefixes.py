"""Tests of purges of all pages that begin so."""

from __future__ import annotations

import pytest

from blackstart.cdn.message import Request
from blackstart.cdn.purges import What

HELD = [
    ("a.example", "/"),
    ("a.example", "/blog"),
    ("a.example", "/blog/1"),
    ("a.example", "/blog/1?x"),
    ("a.example:80", "/blog/2"),
    ("a.example:81", "/blog/3"),
    ("b.example", "/blog/4"),
]


@pytest.fixture
async def held(node, origin):
    """A node that holds some pages."""
    origin.says(cache_control="max-age=60")
    for host, target in HELD:
        await node.answer(Request("GET", target, host))
    return node


def left(node) -> list[str]:
    return [host + target for host, target in HELD if node.cache.lookup(f"{host} {target}")]


@pytest.mark.parametrize(
    ("prefix", "gone"),
    [
        ("http://a.example/blog/", [2, 3, 4]),
        ("http://A.example/blog", [1, 2, 3, 4]),
        ("https://a.example/blog/1?", [3]),
        ("http://a.example", [0, 1, 2, 3, 4]),
        ("http://a.example:81/", [5]),
        ("http://a.exam/", []),
    ],
)
async def test_what_begins_so_is_gone_and_no_more(held, prefix, gone) -> None:
    assert await held.purges.forget(What(prefixes=[prefix])) == len(gone)
    assert left(held) == [h + t for index, (h, t) in enumerate(HELD) if index not in gone]


async def test_a_soft_one_leaves_stale_copies(held) -> None:
    assert await held.purges.forget(What(prefixes=["http://b.example/"], soft=True)) == 1
    [entry] = held.cache.lookup("b.example /blog/4")
    assert entry.stale


async def test_what_is_being_fetched_hears_of_it(node, origin) -> None:
    origin.says(cache_control="max-age=60")
    for prefix, stays in (("http://a.example/x", True), ("http://a.example/blog", False)):
        order = What(prefixes=[prefix])
        origin.meanwhile = lambda order=order: node.purges.forget(order)
        await node.answer(Request("GET", "/blog/1", "a.example"))
        assert bool(node.cache.lookup("a.example /blog/1")) is stays
        await node.purge_all()
