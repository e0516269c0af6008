"""Tests of who is turned away from the real routes, in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2
import pytest

from blackstart.model import Scope

if TYPE_CHECKING:
    from tests.conftest import Bench, Client

FILES = {"index.html": b"home"}
DEMANDS = {
    Scope.READ: ("GET", "/sites/docs/deploys"),
    Scope.DEPLOY: ("POST", "/sites/docs/deploys"),
    Scope.OPERATE: ("PUT", "/sites/docs/rollback"),
}
"""A route of each scope that routes demand."""

INCLUDED = {
    Scope.READ: {Scope.READ},
    Scope.DEPLOY: {Scope.READ, Scope.DEPLOY},
    Scope.OPERATE: {Scope.READ, Scope.DEPLOY, Scope.OPERATE},
    Scope.REVIEW: {Scope.READ},
}


@pytest.fixture
async def api(bench: Bench, client_of: Client) -> httpx2.AsyncClient:
    site = await bench.site("docs")
    for _ in range(3):
        await bench.release(site, FILES)
    return client_of(bench.control(), "http://control.test/api/v1")


async def presented(bench: Bench, how: str) -> list[tuple[str, str]]:
    """The Authorization fields of a request that is nobody's."""
    token, secret = await bench.desk.tokens.create("ci", list(Scope))
    good = ("Authorization", f"Bearer {secret}")
    if how == "revoked":
        await bench.desk.tokens.revoke(token.id)
    return {
        "none": [],
        "garbage": [("Authorization", "Bearer bst_0_0")],
        "cut off": [("Authorization", f"Bearer {secret[:-1]}")],
        "revoked": [good],
        "wrong scheme": [("Authorization", f"Basic {secret}")],
        "no scheme": [("Authorization", secret)],
        "two fields": [good, ("Authorization", "Bearer bst_0_0")],
        "the same field twice": [good, good],
    }[how]


@pytest.mark.parametrize("scope", DEMANDS)
@pytest.mark.parametrize(
    "how",
    [
        "none",
        "garbage",
        "cut off",
        "revoked",
        "wrong scheme",
        "no scheme",
        "two fields",
        "the same field twice",
    ],
)
async def test_who_is_nobody_gets_401_and_changes_nothing(
    bench: Bench, api: httpx2.AsyncClient, scope: Scope, how: str
) -> None:
    before = await everything(bench)
    method, path = DEMANDS[scope]
    refused = await api.request(method, path, headers=await presented(bench, how))
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized")
    assert refused.headers["www-authenticate"].startswith('Bearer realm="blackstart"')
    assert await everything(bench) == before


@pytest.mark.parametrize("own", Scope)
@pytest.mark.parametrize("scope", DEMANDS)
async def test_a_token_opens_the_routes_of_its_scope_and_no_other(
    bench: Bench, api: httpx2.AsyncClient, scope: Scope, own: Scope
) -> None:
    before = await everything(bench)
    method, path = DEMANDS[scope]
    answer = await api.request(method, path, headers=await bench.bearer(own))
    if scope in INCLUDED[own]:
        assert answer.is_success, answer.text
    else:
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        assert f'scope="{scope}"' in answer.headers["www-authenticate"]
        assert await everything(bench) == before


async def everything(bench: Bench) -> tuple[list[str], str | None]:
    """What the routes above could change."""
    site = await bench.store.sites.by_name("docs")
    assert site is not None
    deploys = await bench.store.deploys.of_site(site.id)
    return [deploy.id for deploy in deploys], site.published_deploy_id
