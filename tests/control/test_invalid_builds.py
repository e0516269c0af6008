"""Tests of one build document that cannot be read, among others, in the API and on the pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2
import pytest

from blackstart.model import Build, BuildState, Repo, Site

if TYPE_CHECKING:
    from tests.conftest import Bench, Client, Repository

FILES = {"index.html": b"home"}
API, PAGES = "http://control.test/api/v1", "http://control.test"
TOLERANT = "tolerant-api"


@pytest.fixture
async def site(bench: Bench, repository: Repository) -> Site:
    repository.commit(FILES)
    return await bench.site("docs", repo=Repo(url=repository.url, branch="main"))


async def built(bench: Bench, site: Site) -> Build:
    """A build that is done; a second passes."""
    bench.clock.advance(1.0)
    queued = await bench.builds.start(site)
    assert await bench.worker().run_one()
    build = await bench.build(queued)
    assert build.state is BuildState.DONE, build.error
    return build


async def destroy(bench: Bench, build: Build) -> None:
    await bench.store.database["builds"].update_one(
        {"_id": build.id}, {"$set": {"due_at": {"never": True}, "branch": None}}
    )


async def api_of(bench: Bench, client_of: Client, safeguards: str = "") -> httpx2.AsyncClient:
    api = client_of(bench.control(api=safeguards), API)
    api.headers.update(await bench.bearer())
    return api


async def test_a_tolerant_api_lists_the_invalid_build_and_serves_the_rest(
    bench: Bench, site: Site, client_of: Client
) -> None:
    older, broken, newer = [await built(bench, site) for _ in range(3)]
    await destroy(bench, broken)
    api = await api_of(bench, client_of, TOLERANT)
    listed = (await api.get("/sites/docs/builds")).json()
    assert [each["id"] for each in listed] == [newer.id, broken.id, older.id]
    assert [each["state"] for each in listed] == ["done", "invalid", "done"]
    assert listed[1]["error"].startswith("branch: ")
    assert (listed[1]["done"], listed[1]["created_at"]) == (True, None)
    alone = (await api.get(f"/builds/{broken.id}")).json()
    assert alone == listed[1] | {"log": []}


async def test_one_invalid_build_fails_every_response_it_is_part_of(
    bench: Bench, site: Site, client_of: Client
) -> None:
    healthy, broken = await built(bench, site), await built(bench, site)
    await destroy(bench, broken)
    api = await api_of(bench, client_of)
    for path in ("/sites/docs/builds", f"/builds/{broken.id}"):
        answer = await api.get(path)
        assert (answer.status_code, answer.json()["code"]) == (500, "invalid_document"), path
        assert broken.id in answer.json()["message"]
    assert (await api.get(f"/builds/{healthy.id}")).status_code == 200
    browser = client_of(bench.control(), PAGES)
    for path in ("/sites/docs", f"/sites/docs/deploys/{broken.deploy_id}"):
        page = await browser.get(path)
        assert (page.status_code, broken.id in page.text) == (500, True), path
    assert (await browser.get(f"/sites/docs/deploys/{healthy.deploy_id}")).status_code == 200


async def test_tolerant_pages_mark_the_invalid_build_and_show_the_rest(
    bench: Bench, site: Site, client_of: Client
) -> None:
    healthy, broken = await built(bench, site), await built(bench, site)
    await destroy(bench, broken)
    browser = client_of(bench.control(pages=TOLERANT), PAGES)
    assert (await browser.get("/")).status_code == 200
    page = await browser.get("/sites/docs")
    assert page.status_code == 200
    row = page.text.partition(f'data-build="{broken.id}"')[2].partition("</tr>")[0]
    assert 'class="invalid"' in row
    assert "branch: Input should be a valid string" in row
    assert f'data-build="{healthy.id}"' in page.text
    deploy = await browser.get(f"/sites/docs/deploys/{broken.deploy_id}")
    assert deploy.status_code == 200
    assert f"Build {broken.id} is invalid: branch: " in deploy.text


async def test_the_next_build_of_the_site_is_made_all_the_same(bench: Bench, site: Site) -> None:
    await destroy(bench, await bench.builds.start(site))
    newest = await built(bench, site)
    assert await bench.published_id(site) == newest.deploy_id
