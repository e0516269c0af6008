"""Purging one node by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import FakeApi

Call = Callable[..., Any]
PURGE = "POST /.blackstart/purge"


@pytest.fixture
def node(fake_api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    """A node that forgets three pages whatever it is asked."""
    monkeypatch.setenv("BLACKSTART_NODE_URL", fake_api.url)
    monkeypatch.setenv("BLACKSTART_PURGE_TOKEN", "secret")
    fake_api.answer(PURGE, {"purged": 3})
    return fake_api


def test_pages_and_tags_are_purged_together(call: Call, node: FakeApi) -> None:
    purged = call(
        "cdn", "purge", "/a b", "https://Docs.Localhost/x?y", "--tag", "t1", "--tag", "t2"
    )
    assert (purged.code, purged.out, purged.err) == (0, "3 purged\n", "")
    host = node.url.removeprefix("http://")
    assert json.loads(node.bodies[-1]) == {
        "urls": [f"http://{host}/a%20b", "http://docs.localhost/x?y"],
        "tags": ["t1", "t2"],
        "soft": False,
    }
    assert node.fields[-1]["authorization"] == "Bearer secret"


def test_everything_can_be_made_stale(call: Call, node: FakeApi) -> None:
    assert call("cdn", "purge", "--everything", "--soft").out == "3 made stale\n"
    assert json.loads(node.bodies[-1]) == {"everything": True, "soft": True}


def test_tags_may_be_named_as_an_origin_names_them(call: Call, node: FakeApi) -> None:
    assert call("cdn", "purge", "--tag", "site-1, d-2", "--tag", "x").code == 0
    assert json.loads(node.bodies[-1])["tags"] == ["site-1", "d-2", "x"]


def test_all_that_begins_so_is_purged(call: Call, node: FakeApi) -> None:
    assert call("cdn", "purge", "--prefix", "/blog/", "--prefix", "Docs.Localhost").code == 0
    host = node.url.removeprefix("http://")
    prefixes = [f"http://{host}/blog/", "http://docs.localhost/"]
    assert json.loads(node.bodies[-1]) == {"prefixes": prefixes, "soft": False}


def test_a_wildcard_that_met_nothing_is_told_to_be_none(call: Call, node: FakeApi) -> None:
    node.answer(PURGE, {"purged": 0})
    assert call("cdn", "purge", "/a/*").err == "", "a page may be called so"
    purged = call("cdn", "purge", "/a/*")
    assert (purged.code, purged.out) == (0, "0 purged\n")
    assert purged.err.startswith("a * in a URL is no wildcard")


@pytest.mark.parametrize("arguments", [[], ["--soft"], ["/a", "--everything"], ["ftp://a/b"]])
def test_what_is_unclear_is_not_purged(call: Call, node: FakeApi, arguments: list[str]) -> None:
    refused = call("cdn", "purge", *arguments)
    assert (refused.code, refused.out, node.asked) == (2, "", [])
