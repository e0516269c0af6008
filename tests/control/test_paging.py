"""Tests of paging: what a page is, and the links to the others."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest
from fastapi import Depends, FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response

from blackstart.control.paging import MAX_PER_PAGE, Paging

if TYPE_CHECKING:
    from tests.conftest import Client

THINGS = list(range(120))


@pytest.fixture
def api(client_of: Client) -> httpx2.AsyncClient:
    app = FastAPI()

    @app.get("/{group}/known")
    async def known(group: str, paging: Annotated[Paging, Depends()]) -> list[int]:
        page = THINGS[paging.skip : paging.skip + paging.limit]
        paging.link(len(page), total=len(THINGS))
        return page

    @app.get("/unknown")
    async def unknown(paging: Annotated[Paging, Depends()]) -> list[int]:
        page = THINGS[paging.skip : paging.skip + paging.limit]
        paging.link(len(page))
        return page

    return client_of(app, "http://control.test")


def links_of(response: httpx2.Response) -> dict[str, str]:
    return {
        rel: target
        for target, rel in re.findall(r'<([^>]*)>; rel="(\w+)"', response.headers["link"])
    }


def pages_of(response: httpx2.Response) -> dict[str, int]:
    return {
        rel: int(dict(parse_qsl(urlsplit(target).query))["page"])
        for rel, target in links_of(response).items()
    }


async def test_a_page_is_50_long_unless_asked_otherwise(api: httpx2.AsyncClient) -> None:
    assert (await api.get("/unknown")).json() == THINGS[:50]
    second = await api.get("/unknown", params={"page": 2, "per_page": 100})
    assert second.json() == THINGS[100:]


@pytest.mark.parametrize(
    ("page", "links"),
    [
        (1, {"first": 1, "next": 2, "last": 3}),
        (2, {"first": 1, "prev": 1, "next": 3, "last": 3}),
        (3, {"first": 1, "prev": 2, "last": 3}),
        (9, {"first": 1, "prev": 3, "last": 3}),
    ],
)
async def test_with_a_known_length_every_neighbour_is_named(
    api: httpx2.AsyncClient, page: int, links: dict[str, int]
) -> None:
    assert pages_of(await api.get("/a/known", params={"page": page})) == links


async def test_without_a_length_a_full_page_has_a_next_one(api: httpx2.AsyncClient) -> None:
    assert pages_of(await api.get("/unknown?page=2")) == {"first": 1, "prev": 1, "next": 3}
    assert pages_of(await api.get("/unknown?page=3")) == {"first": 1, "prev": 2}


async def test_following_the_links_sees_everything_once(api: httpx2.AsyncClient) -> None:
    seen: list[int] = []
    following: str | None = "/a/known?per_page=7"
    while following:
        page = await api.get(following)
        seen += page.json()
        following = links_of(page).get("next")
    assert seen == THINGS


async def test_other_parameters_and_odd_paths_are_kept(api: httpx2.AsyncClient) -> None:
    odd = await api.get("/%C3%A9%3E%22/known?name=a%26b&name=%3E&page=1&x=&per_page=10")
    target = links_of(odd)["next"]
    assert target.startswith("/%C3%A9%3E%22/known?")
    assert parse_qsl(urlsplit(target).query, keep_blank_values=True) == [
        ("name", "a&b"),
        ("name", ">"),
        ("x", ""),
        ("page", "2"),
        ("per_page", "10"),
    ]


@pytest.mark.parametrize("query", ["page=0", "page=x", "page=100001", "per_page=0", "per_page=101"])
async def test_what_is_no_page_is_refused(api: httpx2.AsyncClient, query: str) -> None:
    assert (await api.get(f"/unknown?{query}")).status_code == 422


@given(st.integers(1, 1000), st.integers(1, MAX_PER_PAGE), st.integers(0, 5000))
def test_every_link_leads_to_a_page_with_something_on_it(
    page: int, per_page: int, total: int
) -> None:
    scope = {"type": "http", "path": "/x", "query_string": b"", "headers": [], "server": ("a", 1)}
    response = Response()
    paging = Paging(Request(scope), response, page=page, per_page=per_page)
    paging.link(min(per_page, max(0, total - paging.skip)), total=total)
    for number in re.findall(r"page=(\d+)&", response.headers["link"]):
        assert number == "1" or (int(number) - 1) * per_page < total
