"""Tests of the search: every kind of damage, nothing else, and exactly the requests that fail."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

from blackstart.errors import StorageError
from blackstart.model import Plan, Site
from blackstart.recovery.find import (
    BrokenBuild,
    BrokenDeploy,
    BrokenSite,
    FailingResponse,
    Finding,
    HitSite,
    Look,
    MissingFiles,
    NotJudged,
    as_row,
    find,
)
from blackstart.store import ObjectStore
from blackstart.store.objects import blob_key, tree_key

if TYPE_CHECKING:
    from tests.conftest import Bench, Client

PAGE = {"index.html": b"home"}
WHOLE = Look(responses=False)


async def found(bench: Bench, look: Look | None = None) -> list[Finding]:
    return [each async for each in find(bench.store, bench.objects, look or Look())]


def of(kind: type, findings: list[Finding]) -> list[Any]:
    return [each for each in findings if isinstance(each, kind)]


async def test_nothing_is_found_where_nothing_is_broken(bench: Bench) -> None:
    site = await bench.site()
    await bench.release(site, PAGE)
    await bench.processing(site, PAGE)
    await bench.announce(site, PAGE)
    assert await found(bench) == []


async def test_an_invalid_deploy_is_named_with_its_site_and_why(bench: Bench) -> None:
    site = await bench.site("docs", plan=Plan.GLOBAL)
    old, new = [await bench.release(site, PAGE) for _ in range(2)]
    for deploy in (old, new):
        await bench.destroy(deploy.id)
    broken = of(BrokenDeploy, await found(bench))
    assert [each.deploy_id for each in broken] == sorted([old.id, new.id])
    (shown,) = [each for each in broken if each.shown]
    assert shown == BrokenDeploy(
        new.id, site.id, "docs", "global", 2, "ready", True, "metadata.tree: Field required"
    )


async def test_sites_come_in_sla_order_those_that_are_down_first(bench: Bench) -> None:
    for name, plan, down in (
        ("free", Plan.FREE, True),
        ("enterprise-old", Plan.ENTERPRISE, False),
        ("pro", Plan.PRO, True),
        ("enterprise", Plan.ENTERPRISE, True),
        ("global", Plan.GLOBAL, True),
    ):
        site = await bench.site(name, plan=plan)
        deploys = [await bench.release(site, PAGE) for _ in range(2)]
        await bench.destroy(deploys[down].id)
    await bench.release(await bench.site("healthy", plan=Plan.ENTERPRISE), PAGE)
    sites: list[HitSite] = of(HitSite, await found(bench))
    assert [(each.site, each.down) for each in sites] == [
        ("enterprise", True),
        ("global", True),
        ("pro", True),
        ("free", True),
        ("enterprise-old", False),
    ]
    assert {each.invalid_deploys for each in sites} == {1}


async def test_a_deploy_of_a_site_that_is_gone_is_found_all_the_same(bench: Bench) -> None:
    site = await bench.site()
    deploy = await bench.release(site, PAGE)
    await bench.destroy(deploy.id)
    await bench.store.sites.delete(site.id)
    (broken,) = of(BrokenDeploy, await found(bench))
    assert (broken.site, broken.plan, broken.shown) == ("", "", False)


async def test_a_damaged_blob_is_found_only_by_reading_it(bench: Bench) -> None:
    site = await bench.site()
    deploy = await bench.release(site, {"index.html": b"home", "about.html": b"about"})
    tree = await bench.objects.get_tree(deploy.metadata.tree or "")
    await bench.objects.put(blob_key(tree.files["index.html"].sha1), b"HOME")
    assert of(MissingFiles, await found(bench)) == []
    (missing,) = of(MissingFiles, await found(bench, Look(deep=True)))
    assert (missing.deploy_id, missing.paths) == (deploy.id, ["index.html"])


@pytest.mark.parametrize("damage", ["missing", "flipped", "no tree at all"])
async def test_a_tree_that_cannot_be_read_is_told_apart(bench: Bench, damage: str) -> None:
    deploy = await bench.release(await bench.site(), PAGE)
    key = tree_key(deploy.metadata.tree or "")
    if damage == "missing":
        await bench.objects.delete([key])
    else:
        await bench.objects.put(key, b"{}" if damage == "flipped" else b"")
    (missing,) = of(MissingFiles, await found(bench))
    assert (missing.paths, missing.tree_unreadable) == ([], True)


async def test_what_could_not_be_looked_at_is_never_called_whole(bench: Bench) -> None:
    deploy = await bench.release(await bench.site(), PAGE)

    class Away(ObjectStore):
        async def stat_blobs(self, sha1s: Any) -> dict[str, int]:
            raise StorageError("the bucket is away")

    findings = [each async for each in find(bench.store, Away(bench.objects.backend))]
    assert findings == [NotJudged(deploy.site_id, deploy.id, "the bucket is away")]


async def test_invalid_sites_and_builds_do_not_stop_the_search(bench: Bench) -> None:
    site = await bench.site("aaa")
    deploy = await bench.release(site, PAGE)
    await bench.destroy(deploy.id)
    other = await bench.site("bbb")
    await bench.store.database["sites"].update_one({"_id": other.id}, {"$set": {"plan": "gold"}})
    await bench.store.database["builds"].insert_one({"_id": "b1", "site_id": site.id})
    findings = await found(bench)
    assert [each.site for each in of(BrokenSite, findings)] == ["bbb"]
    assert [each.build_id for each in of(BrokenBuild, findings)] == ["b1"]
    assert len(of(BrokenDeploy, findings)) == 1


async def test_every_finding_is_a_line_of_json_that_names_its_kind(bench: Bench) -> None:
    deploy = await bench.release(await bench.site(), PAGE)
    await bench.destroy(deploy.id)
    rows = [json.loads(json.dumps(as_row(each))) for each in await found(bench)]
    assert {row["kind"] for row in rows} == {"invalid-deploy", "site", "failing-response"}


async def test_progress_is_told_and_ends_with_all_deploys(bench: Bench) -> None:
    site = await bench.site()
    for _ in range(3):
        await bench.release(site, PAGE)
    told: list[int] = []
    async for _ in find(bench.store, bench.objects, WHOLE, progress=told.append):
        pass
    assert told == [3]


# --- The requests that fail ---


async def every_request(bench: Bench, sites: list[Site]) -> AsyncIterator[str]:
    """All that can be read of the API and the pages, lists by their pages of usual length."""
    for page in range(1, 4):
        yield f"/api/v1/sites?page={page}"
        yield f"/?page={page}"
    for site in sites:
        yield f"/api/v1/sites/{site.id}"
        yield f"/api/v1/sites/{site.id}/files"
        yield f"/api/v1/sites/{site.id}/builds"
        yield f"/sites/{site.name}"
        for page in range(1, 4):
            yield f"/api/v1/sites/{site.id}/deploys?page={page}"
    async for raw in bench.store.deploys.scan_raw():
        name = next(site.name for site in sites if site.id == raw["site_id"])
        yield f"/api/v1/deploys/{raw['_id']}"
        yield f"/api/v1/sites/{raw['site_id']}/deploys/{raw['_id']}"
        yield f"/sites/{name}/deploys/{raw['_id']}"
    async for raw in bench.store.database["builds"].find():
        yield f"/api/v1/builds/{raw['_id']}"
        yield f"/api/v1/builds/{raw['_id']}/log"
        yield f"/api/v1/builds/{raw['_id']}/log/stream"


@pytest.fixture
async def sites(bench: Bench) -> list[Site]:
    """Sixty sites: one with 110 deploys, most with one; several kinds of damage among them."""
    sites = [await bench.site(f"site-{number:02}") for number in range(60)]
    shown = [await bench.release(site, PAGE) for site in sites]
    first = await bench.release(sites[0], PAGE)
    copies = [first.model_copy(update={"id": f"c{n}", "number": n}) for n in range(3, 112)]
    await bench.store.database["deploys"].insert_many([copy.to_mongo() for copy in copies])
    for deploy_id in (shown[7].id, shown[56].id, "c3", "c100"):
        await bench.destroy(deploy_id)
    await bench.store.database["builds"].insert_one({"_id": "b1", "site_id": sites[20].id})
    return sites


@pytest.mark.parametrize("tolerant", [False, True])
async def test_exactly_the_requests_that_fail_are_listed(
    bench: Bench, client_of: Client, sites: list[Site], tolerant: bool
) -> None:
    switches = "tolerant-api" if tolerant else ""
    client = client_of(bench.control(api=switches, pages=switches))
    headers = await bench.bearer()
    failing = {
        path
        async for path in every_request(bench, sites)
        if (await client.get(path, headers=headers)).status_code >= 500
    }
    listed: list[FailingResponse] = of(FailingResponse, await found(bench))
    assert {each.path for each in listed if each.always or not tolerant} == failing
    assert len(listed) == len({each.path for each in listed})


async def test_an_invalid_site_fails_its_lists_whatever_the_safeguard(
    bench: Bench, client_of: Client, sites: list[Site]
) -> None:
    change = {"$set": {"plan": "gold"}}
    await bench.store.database["sites"].update_one({"_id": sites[59].id}, change)
    listed = {each.path: each.always for each in of(FailingResponse, await found(bench))}
    assert listed["/api/v1/sites?page=2"]
    assert not listed["/api/v1/sites?page=1"]
    client = client_of(bench.control(api="tolerant-api", pages="tolerant-api"))
    headers = await bench.bearer()
    for path in (f"/api/v1/sites/{sites[59].id}", "/sites/site-59", "/?page=2"):
        assert listed[path]
        assert (await client.get(path, headers=headers)).status_code == 500
