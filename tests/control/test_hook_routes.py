"""Build hooks over HTTP: found by id alone, and called by address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from blackstart.model import BuildHook, Repo, Scope

if TYPE_CHECKING:
    from tests.conftest import Bench, Client


@pytest.fixture
def browser(bench: Bench, client_of: Client) -> httpx2.AsyncClient:
    return client_of(bench.control(), "http://control.test")


async def hook_of(bench: Bench, **more: Any) -> BuildHook:
    site = await bench.site("docs", repo=Repo(url="/site.git", branch="main"))
    return await bench.desk.hooks.create(site, title="push", branch="main", **more)


async def test_a_hook_is_found_and_deleted_by_its_id_alone(
    bench: Bench, browser: httpx2.AsyncClient
) -> None:
    hook = await hook_of(bench, signed=True)
    operator = await bench.bearer(Scope.OPERATE)
    path = f"/api/v1/build_hooks/{hook.id}"
    found = (await browser.get(path, headers=operator)).json()
    assert (found["id"], found["site_id"], found["title"]) == (hook.id, hook.site_id, "push")
    assert found["secret"] is None
    assert (await browser.delete(path, headers=operator)).status_code == 204
    for method in ("GET", "DELETE"):
        gone = await browser.request(method, path, headers=operator)
        assert (gone.status_code, gone.json()["code"]) == (404, "not_found")


async def test_only_operators_find_and_delete_hooks(
    bench: Bench, browser: httpx2.AsyncClient
) -> None:
    hook = await hook_of(bench, signed=False)
    deployer = await bench.bearer(Scope.DEPLOY)
    for method in ("GET", "DELETE"):
        path = f"/api/v1/build_hooks/{hook.id}"
        assert (await browser.request(method, path)).status_code == 401
        assert (await browser.request(method, path, headers=deployer)).status_code == 403
    assert (await bench.store.hooks.get(hook.id)).id == hook.id


async def test_an_error_of_a_call_is_json(bench: Bench, browser: httpx2.AsyncClient) -> None:
    hook = await hook_of(bench, signed=True)
    unsigned = await browser.post(f"/build_hooks/{hook.id}", content=b"{}")
    assert (unsigned.status_code, unsigned.json()["code"]) == (401, "unauthorized")
    unknown = await browser.post("/build_hooks/none", content=b"{}")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    assert await bench.store.builds.waiting(hook.site_id) == []
