"""Tests of the web pages over HTTP, in this process."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import httpx2
import pytest

from blackstart.control.pages import PER_PAGE
from blackstart.model import Repo

if TYPE_CHECKING:
    from tests.conftest import Bench, Client, Repository

FILES = {"index.html": b"home"}
HOST = "http://control.test"


@pytest.fixture
def browser(bench: Bench, client_of: Client) -> httpx2.AsyncClient:
    return client_of(bench.control(), HOST)


@pytest.fixture
def tolerant_browser(bench: Bench, client_of: Client) -> httpx2.AsyncClient:
    return client_of(bench.control(pages="tolerant-api"), HOST)


async def test_the_first_page_lists_the_sites_with_what_they_show(
    bench: Bench, browser: httpx2.AsyncClient
) -> None:
    deploy = await bench.release(await bench.site("docs"), FILES)
    await bench.site("new")
    page = await browser.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert '<a href="/sites/docs">docs</a>' in page.text
    assert f'data-deploy="{deploy.id}"' in page.text
    assert "nothing yet" in page.text


async def test_a_platform_without_sites_says_so(browser: httpx2.AsyncClient) -> None:
    assert "No sites here." in (await browser.get("/")).text


async def test_a_sites_page_lists_its_deploys_and_marks_the_published_one(
    bench: Bench, browser: httpx2.AsyncClient
) -> None:
    site = await bench.site("docs", repo=Repo(url="/<script>", branch="main"))
    await bench.release(site, FILES)
    await bench.release(site, FILES)
    page = (await browser.get("/sites/docs")).text
    assert page.index("#2") < page.index("#1")
    assert page.count("<strong>published</strong>") == 1
    assert "/&lt;script&gt;" in page


async def test_one_invalid_deploy_fails_every_page_it_is_part_of(
    bench: Bench, browser: httpx2.AsyncClient
) -> None:
    await bench.release(await bench.site("blog"), FILES)
    broken = await bench.release(await bench.site("docs"), FILES)
    await bench.destroy(broken.id)
    for path in ("/", "/sites/docs"):
        page = await browser.get(path)
        assert page.status_code == 500
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert f'data-deploy="{broken.id}"' in page.text
    assert (await browser.get("/sites/blog")).status_code == 200


async def test_a_tolerant_page_lists_the_invalid_deploy_and_the_rest(
    bench: Bench, tolerant_browser: httpx2.AsyncClient
) -> None:
    await bench.release(await bench.site("blog"), FILES)
    site = await bench.site("docs")
    older = await bench.release(site, FILES)
    broken = await bench.release(site, FILES)
    invalid = await bench.destroy(broken.id)
    page = (await tolerant_browser.get("/")).text
    assert "blog" in page
    assert page.count('<td class="invalid">invalid</td>') == 1
    page = (await tolerant_browser.get("/sites/docs")).text
    assert f'data-deploy="{broken.id}"' in page
    assert f'data-deploy="{older.id}"' in page
    assert invalid.reason in page


async def test_the_api_and_the_pages_are_made_tolerant_one_by_one(
    bench: Bench, client_of: Client
) -> None:
    await bench.destroy((await bench.release(await bench.site("docs"), FILES)).id)
    client = client_of(bench.control(api="tolerant-api"), HOST)
    assert (await client.get("/api/v1/sites", headers=await bench.bearer())).status_code == 200
    assert (await client.get("/")).status_code == 500


async def test_an_unknown_site_is_a_page_with_404_that_escapes_what_was_asked(
    browser: httpx2.AsyncClient,
) -> None:
    page = await browser.get("/sites/<b>")
    assert page.status_code == 404
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "<b>" not in page.text
    assert "&lt;b&gt;" in page.text


async def test_many_sites_come_page_by_page(bench: Bench, browser: httpx2.AsyncClient) -> None:
    site = await bench.site("model")
    await bench.store.sites.insert_many(
        [
            site.model_copy(update={"id": f"{number}", "name": f"site-{number:03}"})
            for number in range(PER_PAGE)
        ]
    )
    first, second = (await browser.get("/")).text, (await browser.get("/?page=2")).text
    assert first.count('<a href="/sites/') == PER_PAGE
    assert '<a href="/?page=2">More</a>' in first
    assert second.count('<a href="/sites/') == 1
    assert '<a href="/?page=1">Back</a>' in second


@pytest.mark.parametrize("page", ["0", "-1", "99999999999999999999"])
async def test_a_page_number_out_of_all_bounds_is_no_crash(
    browser: httpx2.AsyncClient, page: str
) -> None:
    assert (await browser.get(f"/?page={page}")).status_code == 200


async def test_the_page_of_a_site_shows_its_builds_and_why_one_failed(
    bench: Bench, browser: httpx2.AsyncClient
) -> None:
    site = await bench.site("docs", repo=Repo(url="/no/such/folder", branch="main"))
    await bench.builds.start(site)
    assert await bench.worker().run_one()
    page = (await browser.get("/sites/docs")).text
    assert "no such folder: /no/such/folder" in page


@pytest.mark.parametrize("how", ["built", "sent"])
async def test_a_deploys_page_shows_its_address_and_the_log_of_its_build(
    bench: Bench, browser: httpx2.AsyncClient, repository: Repository, how: str
) -> None:
    repository.commit(FILES)
    site = await bench.site("docs", repo=Repo(url=str(repository.folder), branch="main"))
    if how == "built":
        build = await bench.builds.start(site)
        assert await bench.worker().run_one()
        build = await bench.build(build)
        assert build.log
        deploy_id, shown = build.deploy_id, build.log[0]
    else:
        deploy_id, shown = (await bench.release(site, FILES)).id, "There was no build"
    page = (await browser.get(f"/sites/docs/deploys/{deploy_id}")).text
    assert f"{deploy_id}--docs." in page
    assert html.escape(shown, quote=False) in page
    assert "<strong>published</strong>" in page
    assert f'href="/sites/docs/deploys/{deploy_id}"' in (await browser.get("/sites/docs")).text
    await bench.site("blog")
    assert (await browser.get(f"/sites/blog/deploys/{deploy_id}")).status_code == 404


async def test_the_page_of_an_invalid_deploy_says_why(
    bench: Bench, browser: httpx2.AsyncClient, tolerant_browser: httpx2.AsyncClient
) -> None:
    deploy = await bench.release(await bench.site("docs"), FILES)
    invalid = await bench.destroy(deploy.id)
    page = await tolerant_browser.get(f"/sites/docs/deploys/{deploy.id}")
    assert page.status_code == 200
    assert html.escape(invalid.reason, quote=False) in page.text
    assert (await browser.get(f"/sites/docs/deploys/{deploy.id}")).status_code == 500


@pytest.mark.parametrize("kind", ["functions", "edge-functions"])
async def test_the_logs_of_functions_are_a_page_that_says_there_are_none(
    bench: Bench, browser: httpx2.AsyncClient, kind: str
) -> None:
    await bench.site("docs")
    page = await browser.get(f"/sites/docs/logs/{kind}")
    assert page.status_code == 200
    assert f"No {kind.replace('-', ' ')} here" in page.text
    assert (await browser.get(f"/sites/nobody/logs/{kind}")).status_code == 404
