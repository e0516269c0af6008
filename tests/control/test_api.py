"""Tests of the control API over HTTP, in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from pymongo.errors import AutoReconnect

from blackstart.model import BuildState, Repo

if TYPE_CHECKING:
    from tests.conftest import Bench, Client

FILES = {"index.html": b"home"}
HOST = "http://control.test"
REPO = Repo(url="https://git.test/docs", branch="main")


@pytest.fixture
async def api(bench: Bench, client_of: Client) -> httpx2.AsyncClient:
    return await signed_in(bench, client_of(bench.control(), f"{HOST}/api/v1"))


@pytest.fixture
async def tolerant_api(bench: Bench, client_of: Client) -> httpx2.AsyncClient:
    return await signed_in(bench, client_of(bench.control(api="tolerant-api"), f"{HOST}/api/v1"))


async def signed_in(bench: Bench, client: httpx2.AsyncClient) -> httpx2.AsyncClient:
    client.headers.update(await bench.bearer())
    return client


async def test_a_site_is_created_and_shown(api: httpx2.AsyncClient) -> None:
    created = await api.post(
        "/sites", json={"name": "docs", "plan": "global", "repo_url": "https://git.test/docs"}
    )
    assert created.status_code == 201
    site = created.json()
    assert (site["name"], site["plan"], site["branch"]) == ("docs", "global", "main")
    assert site["published_deploy"] is None
    assert (await api.get(f"/sites/{site['id']}")).json() == site
    assert (await api.get("/sites/docs")).json() == site
    assert (await api.get("/sites")).json() == [site]


async def test_a_name_that_is_taken_is_a_conflict(api: httpx2.AsyncClient) -> None:
    body = {"name": "docs", "repo_url": "https://git.test/docs"}
    assert (await api.post("/sites", json=body)).status_code == 201
    again = await api.post("/sites", json=body)
    assert again.status_code == 409
    assert again.json()["code"] == "conflict"


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Docs"},
        {"name": "-docs"},
        {"name": "docs."},
        {"name": ""},
        {"name": "a" * 64},
        {"plan": "gold"},
        {"repo_url": ""},
        {"branch": "-b"},
        {"surprise": 1},
    ],
)
async def test_a_body_that_makes_no_sense_is_refused_and_nothing_is_created(
    api: httpx2.AsyncClient, change: dict[str, Any]
) -> None:
    body = {"name": "docs", "repo_url": "https://git.test/docs"} | change
    answer = await api.post("/sites", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/json"
    assert (await api.get("/sites")).json() == []


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("name", "Bad Name", "must be 1 to 63 small letters, digits and dashes"),
        ("name", 5, "must be 1 to 63 small letters, digits and dashes"),
        ("repo_url", "", "must be an address or a path"),
        ("branch", "-b", "must be letters, digits, and . _ / -"),
    ],
)
async def test_a_value_that_does_not_fit_is_answered_with_the_rule_in_words(
    api: httpx2.AsyncClient, field: str, value: object, rule: str
) -> None:
    answer = await api.post("/sites", json={"name": "docs", field: value})
    assert answer.json()["message"].startswith(f"{field}: {rule}")


async def test_a_name_with_two_dashes_would_be_taken_for_a_permalink(
    api: httpx2.AsyncClient,
) -> None:
    answer = await api.post("/sites", json={"name": "a--b", "repo_url": "https://git.test/docs"})
    assert answer.status_code == 400
    assert answer.json()["code"] == "bad_request"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/sites/nothing"),
        ("GET", "/sites/nothing/deploys"),
        ("GET", "/sites/nothing/builds"),
        ("POST", "/sites/nothing/builds"),
        ("GET", "/deploys/nothing"),
        ("GET", "/builds/nothing"),
        ("POST", "/builds/nothing/push"),
        ("GET", "/nothing"),
    ],
)
async def test_what_does_not_exist_is_404_as_json(
    api: httpx2.AsyncClient, method: str, path: str
) -> None:
    answer = await api.request(method, path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/json"
    assert "nothing" in path
    assert answer.json()


async def test_a_site_shows_its_published_deploy(bench: Bench, api: httpx2.AsyncClient) -> None:
    site = await bench.site()
    deploy = await bench.release(site, FILES)
    shown = (await api.get("/sites/docs")).json()["published_deploy"]
    assert (shown["id"], shown["state"], shown["tree"]) == (
        deploy.id,
        "ready",
        deploy.metadata.tree,
    )
    assert shown == (await api.get(f"/deploys/{deploy.id}")).json()


async def test_sites_and_deploys_come_page_by_page(bench: Bench, api: httpx2.AsyncClient) -> None:
    sites = [await bench.site(name) for name in "ecadb"]
    for _ in range(5):
        await bench.release(sites[0], FILES)
    pages = [
        [site["name"] for site in (await api.get(f"/sites?page={page}&per_page=2")).json()]
        for page in (1, 2, 3, 4)
    ]
    assert pages == [["a", "b"], ["c", "d"], ["e"], []]
    numbers = [
        [
            one["number"]
            for one in (await api.get(f"/sites/e/deploys?page={page}&per_page=2")).json()
        ]
        for page in (1, 2, 3, 4)
    ]
    assert numbers == [[5, 4], [3, 2], [1], []]


@pytest.mark.parametrize("query", ["page=0", "per_page=0", "per_page=101", "page=x", "page=1e99"])
async def test_a_page_that_makes_no_sense_is_refused(api: httpx2.AsyncClient, query: str) -> None:
    assert (await api.get(f"/sites?{query}")).status_code == 422


async def test_one_invalid_deploy_fails_every_response_it_is_part_of(
    bench: Bench, api: httpx2.AsyncClient
) -> None:
    await bench.release(await bench.site("blog"), FILES)
    broken = await bench.release(await bench.site("docs"), FILES)
    await bench.destroy(broken.id)
    for path in ("/sites", "/sites/docs", "/sites/docs/deploys", f"/deploys/{broken.id}"):
        answer = await api.get(path)
        assert answer.status_code == 500, path
        assert answer.json()["code"] == "invalid_deploy"
        assert answer.json()["deploy_id"] == broken.id
    assert (await api.get("/sites/blog")).status_code == 200


async def test_a_tolerant_api_lists_the_invalid_deploy_and_serves_the_rest(
    bench: Bench, tolerant_api: httpx2.AsyncClient
) -> None:
    healthy = await bench.release(await bench.site("blog"), FILES)
    site = await bench.site("docs")
    older = await bench.release(site, FILES)
    broken = await bench.release(site, FILES)
    reason = (await bench.destroy(broken.id)).reason
    invalid = {
        "id": broken.id,
        "site_id": site.id,
        "number": 2,
        "state": "invalid",
        "error_message": reason,
    }
    sites = (await tolerant_api.get("/sites")).json()
    assert [site["published_deploy"]["id"] for site in sites] == [healthy.id, broken.id]
    assert sites[1]["published_deploy"].items() >= invalid.items()
    deploys = (await tolerant_api.get("/sites/docs/deploys")).json()
    assert deploys[0].items() >= invalid.items()
    assert deploys[0]["tree"] is None
    assert (deploys[1]["id"], deploys[1]["state"]) == (older.id, "ready")
    assert (await tolerant_api.get(f"/deploys/{broken.id}")).json().items() >= invalid.items()


async def test_a_build_is_asked_for_and_shown(bench: Bench, api: httpx2.AsyncClient) -> None:
    await bench.site(repo=REPO)
    answer = await api.post("/sites/docs/builds")
    assert answer.status_code == 200
    build = answer.json()
    assert (build["state"], build["commit_ref"]) == ("queued", None)
    assert (await api.get(f"/builds/{build['id']}")).json() == build | {"log": []}
    assert (await api.get("/sites/docs/builds")).json() == [build]


async def test_one_commit_is_built_only_where_that_is_switched_on(
    bench: Bench, api: httpx2.AsyncClient
) -> None:
    await bench.site(repo=REPO)
    body = {"commit_ref": "c" * 40}
    refused = await api.post("/sites/docs/builds", json=body)
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_request")
    bench.safeguards.enable("rebuild-by-commit")
    assert (await api.post("/sites/docs/builds", json=body)).json()["commit_ref"] == "c" * 40
    for no_commit in ("c" * 6, "main", "C" * 40):
        answer = await api.post("/sites/docs/builds", json={"commit_ref": no_commit})
        assert answer.status_code == 422


async def test_a_stuck_build_is_pushed_through_and_any_other_is_a_conflict(
    bench: Bench, api: httpx2.AsyncClient
) -> None:
    site = await bench.site(repo=REPO)
    deploy = await bench.processing(site, FILES)
    build = await bench.builds.start(site)
    assert (await api.post(f"/builds/{build.id}/push")).status_code == 409
    await bench.store.database["builds"].update_one(
        {"_id": build.id}, {"$set": {"state": BuildState.STUCK, "deploy_id": deploy.id}}
    )
    pushed = await api.post(f"/builds/{build.id}/push")
    assert (pushed.status_code, pushed.json()["state"]) == (200, "done")
    assert await bench.published_id(site) == deploy.id


async def test_a_database_that_is_away_is_503_as_json(
    bench: Bench, api: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(skip: int, limit: int) -> list[Any]:
        raise AutoReconnect("connection to secret-host:27017 closed")

    monkeypatch.setattr(bench.store.sites, "page", away)
    answer = await api.get("/sites")
    assert (answer.status_code, answer.json()["code"]) == (503, "database")
    assert "secret-host" not in answer.text


async def test_the_control_plane_says_that_it_is_well(bench: Bench, client_of: Client) -> None:
    assert (await client_of(bench.control(), HOST).get("/healthz")).json() == {"status": "ok"}
