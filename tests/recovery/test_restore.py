"""Tests of the ways back: restores compare before they set, reverts show the last good deploy."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from blackstart.errors import ConflictError, NotFoundError
from blackstart.model import Deploy, DeployState, InvalidDeploy, Site
from blackstart.recovery.find import broken_deploys
from blackstart.recovery.restore import restore_metadata, revert_site
from blackstart.recovery.snapshots import Snapshots

if TYPE_CHECKING:
    from tests.conftest import Bench

PAGE = {"index.html": b"home"}


@pytest.fixture
async def site(bench: Bench) -> Site:
    return await bench.site()


@pytest.fixture
async def deploy(bench: Bench, site: Site) -> Deploy:
    return await bench.release(site, PAGE)


async def everything(bench: Bench) -> list[dict[str, Any]]:
    return [raw async for raw in bench.store.deploys.scan_raw()]


async def restore(bench: Bench, broken: InvalidDeploy, backup: dict[str, Any]) -> bool:
    return await restore_metadata(bench.store, broken, backup, bench.events)


async def test_a_damaged_database_comes_back_from_its_snapshot_document_for_document(
    bench: Bench, site: Site
) -> None:
    for _ in range(6):
        await bench.release(site, PAGE)
    before = await everything(bench)
    snapshots = Snapshots(bench.objects)
    taken = await snapshots.take(bench.store.database, bench.clock, bench.seed)
    for raw in before[::2]:
        await bench.destroy(raw["_id"])

    for _ in range(2):  # A second run finds nothing to do.
        broken = {found.id: found for found in await broken_deploys(bench.store)}
        async for backup in snapshots.deploys(taken):
            if backup["_id"] in broken:
                assert await restore(bench, broken[backup["_id"]], backup)
        assert await everything(bench) == before
    assert sorted(bench.events.subjects("deploy.restored")) == [raw["_id"] for raw in before[::2]]


async def test_a_deploy_that_changed_since_it_was_found_broken_is_never_overwritten(
    bench: Bench, deploy: Deploy
) -> None:
    broken = await bench.destroy(deploy.id)
    changed = {"migrated": True, "by": "somebody else"}
    await bench.destroy(deploy.id, changed)
    assert not await restore(bench, broken, deploy.to_mongo())
    assert (await bench.invalid(deploy.id)).raw["metadata"] == changed
    assert bench.events.subjects("deploy.restored") == []


async def test_a_second_run_over_the_same_list_changes_nothing(
    bench: Bench, deploy: Deploy
) -> None:
    broken = await bench.destroy(deploy.id)
    assert await restore(bench, broken, deploy.to_mongo())
    other = deploy.metadata.model_copy(update={"byte_count": 999}).model_dump()
    assert not await restore(bench, broken, deploy.to_mongo() | {"metadata": other})
    assert await bench.deploy(deploy.id) == deploy
    assert len(bench.events.subjects("deploy.restored")) == 1


async def test_of_many_who_restore_a_deploy_exactly_one_does(bench: Bench, deploy: Deploy) -> None:
    broken = await bench.destroy(deploy.id)
    done = await asyncio.gather(*(restore(bench, broken, deploy.to_mongo()) for _ in range(20)))
    assert done.count(True) == 1
    assert await bench.deploy(deploy.id) == deploy


@pytest.mark.parametrize("metadata", [None, 7, "text", [], {}, "gone altogether"])
async def test_metadata_comes_back_whatever_it_was_overwritten_with(
    bench: Bench, deploy: Deploy, metadata: Any
) -> None:
    if metadata == "gone altogether":
        await bench.store.database["deploys"].update_one(
            {"_id": deploy.id}, {"$unset": {"metadata": ""}}
        )
    else:
        await bench.destroy(deploy.id, metadata)
    assert await restore(bench, await bench.invalid(deploy.id), deploy.to_mongo())
    assert await bench.deploy(deploy.id) == deploy


async def test_a_backup_of_another_deploy_or_site_is_refused(bench: Bench, deploy: Deploy) -> None:
    broken = await bench.destroy(deploy.id)
    for change in ({"_id": "other"}, {"site_id": "other"}):
        with pytest.raises(ConflictError, match="is not deploy"):
            await restore(bench, broken, deploy.to_mongo() | change)
    assert await bench.invalid(deploy.id) == broken


@pytest.mark.parametrize("metadata", [{"migrated": True}, None, "gone altogether", "too early"])
async def test_a_backup_that_would_not_make_the_deploy_whole_is_refused(
    bench: Bench, deploy: Deploy, metadata: Any
) -> None:
    broken = await bench.destroy(deploy.id)
    backup = deploy.to_mongo() | {"metadata": metadata}
    if metadata == "gone altogether":
        del backup["metadata"]
    if metadata == "too early":
        early = deploy.metadata.model_copy(update={"tree": None, "completed_at": None})
        backup |= {"state": DeployState.UPLOADING, "metadata": early.model_dump()}
    with pytest.raises(ConflictError, match="does not make deploy"):
        await restore(bench, broken, backup)
    assert await bench.invalid(deploy.id) == broken


async def test_a_site_without_a_way_back_shows_its_newest_good_deploy(
    bench: Bench, site: Site
) -> None:
    await bench.release(site, PAGE)
    good = await bench.release(site, PAGE)
    await bench.destroy((await bench.release(site, PAGE)).id)
    await bench.processing(site, PAGE)
    assert await revert_site(bench.store, bench.publisher, site) == good
    assert await bench.published_id(site) == good.id


async def test_a_site_without_a_good_deploy_is_lost_and_keeps_what_it_has(
    bench: Bench, site: Site, deploy: Deploy
) -> None:
    await bench.destroy(deploy.id)
    with pytest.raises(NotFoundError, match="it is lost"):
        await revert_site(bench.store, bench.publisher, site)
    assert await bench.published_id(site) == deploy.id
