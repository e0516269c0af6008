"""Metadata out of the pointer log: exact where the log knows, marked where it does not."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.conftest import sha1_of

from blackstart.errors import StorageError
from blackstart.model import Deploy, DeployState, Tree
from blackstart.recovery.from_log import NotRebuilt, Rebuilt, rebuild_from_log, set_rebuilt
from blackstart.store.objects import blob_key, tree_key
from blackstart.store.pointers import read_pointer_log

if TYPE_CHECKING:
    from tests.conftest import Bench

FILES = {"index.html": b"<h1>hello</h1>", "a.css": b"p {}"}


@pytest.fixture(autouse=True)
def on(bench: Bench) -> None:
    bench.safeguards.enable("pointer-log")


async def rebuilt(bench: Bench) -> list[Rebuilt | NotRebuilt]:
    reading = read_pointer_log(bench.objects)
    return [each async for each in rebuild_from_log(bench.store, bench.objects, reading)]


async def one(bench: Bench) -> Rebuilt:
    (found,) = await rebuilt(bench)
    assert isinstance(found, Rebuilt), found
    return found


async def refused(bench: Bench) -> str:
    (found,) = await rebuilt(bench)
    assert isinstance(found, NotRebuilt), found
    return found.why


async def test_where_nothing_is_lost_nothing_is_rebuilt(bench: Bench) -> None:
    site = await bench.site()
    await bench.release(site, FILES)
    await bench.processing(site, FILES)
    await bench.announce(site, {"other.html": b"other"})
    assert await rebuilt(bench) == []


async def test_a_destroyed_deploy_comes_back_as_it_was_but_for_its_time(bench: Bench) -> None:
    deploy = await bench.release(await bench.site(), FILES)
    await bench.destroy(deploy.id)
    found = await one(bench)
    assert found.inferred == ("completed_at",)
    assert found.missing_files == ()
    assert found.metadata.model_copy(update={"completed_at": None}) == (
        deploy.metadata.model_copy(update={"completed_at": None})
    )
    assert found.metadata.completed_at == found.pointer.at
    assert await set_rebuilt(bench.store, found)
    assert (await bench.deploy(deploy.id)).metadata == found.metadata
    assert await rebuilt(bench) == []


async def test_what_the_damage_left_is_kept(bench: Bench) -> None:
    deploy = await bench.release(await bench.site(), FILES)
    left = deploy.metadata.completed_at
    assert left is not None
    left += timedelta(seconds=7)
    await bench.destroy(deploy.id, {"tree": None, "completed_at": left})
    found = await one(bench)
    assert found.metadata.completed_at == left
    assert found.inferred == ()


async def test_a_deploy_that_was_processing_is_not_completed(bench: Bench) -> None:
    deploy = await bench.processing(await bench.site(), FILES)
    await bench.destroy(deploy.id)
    found = await one(bench)
    assert found.metadata.completed_at is None
    assert found.inferred == ("completed_at",)
    assert await set_rebuilt(bench.store, found)
    again = await bench.deploy(deploy.id)
    assert again.state is DeployState.PROCESSING
    assert (await bench.deploys.finish(deploy.id)).metadata.tree == deploy.metadata.tree


@pytest.mark.parametrize("lost", [None, {}, {"tree": 7}])
async def test_metadata_may_be_lost_in_any_way(bench: Bench, lost: Any) -> None:
    deploy = await bench.release(await bench.site(), FILES)
    await bench.destroy(deploy.id, lost)
    assert await set_rebuilt(bench.store, await one(bench))
    assert (await bench.deploy(deploy.id)).metadata.tree == deploy.metadata.tree


async def test_a_pointer_to_what_can_be_no_tree_is_lost(bench: Bench) -> None:
    deploy = await bench.release(await bench.site(), FILES)
    await bench.store.database["deploys"].update_one(
        {"_id": deploy.id}, {"$set": {"metadata.tree": "nonsense"}}
    )
    found = await one(bench)
    assert found.inferred == ()
    assert await set_rebuilt(bench.store, found)
    assert await bench.deploy(deploy.id) == deploy


async def test_what_changed_since_it_was_seen_is_left_alone(bench: Bench) -> None:
    deploy = await bench.release(await bench.site(), FILES)
    await bench.destroy(deploy.id)
    found = await one(bench)
    await bench.destroy(deploy.id, {"migrated": "twice"})
    assert not await set_rebuilt(bench.store, found)
    assert (await bench.invalid(deploy.id)).raw["metadata"] == {"migrated": "twice"}


async def test_a_deploy_that_the_log_does_not_know_is_told(bench: Bench) -> None:
    deploy = await bench.announce(await bench.site(), FILES)
    await bench.destroy(deploy.id)
    assert await refused(bench) == "the log has no pointer of it"


@pytest.mark.parametrize(("damage", "why"), [(None, "is missing"), (b"{}", "is damaged")])
async def test_a_tree_that_cannot_be_read_is_no_pointer(
    bench: Bench, damage: bytes | None, why: str
) -> None:
    deploy = await bench.release(await bench.site(), FILES)
    await bench.destroy(deploy.id)
    key = tree_key(deploy.metadata.tree or "")
    await bench.objects.delete([key])
    if damage is not None:
        await bench.objects.put(key, damage)
    assert await refused(bench) == f"tree {deploy.metadata.tree} {why}"


async def test_a_tree_that_nobody_could_look_at_is_not_verified(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(tree_id: str) -> Tree:
        raise StorageError("a disk is on fire")

    deploy = await bench.release(await bench.site(), FILES)
    await bench.destroy(deploy.id)
    monkeypatch.setattr(bench.objects, "get_tree", failing)
    assert await refused(bench) == "could not verify its tree: a disk is on fire"


async def test_files_that_never_arrived_are_told_and_the_pointer_is_right_all_the_same(
    bench: Bench,
) -> None:
    deploy = await bench.release(await bench.site(), FILES)
    await bench.destroy(deploy.id)
    await bench.objects.delete([blob_key(sha1_of(FILES["a.css"]))])
    found = await one(bench)
    assert found.missing_files == ("a.css",)
    assert found.metadata.tree == deploy.metadata.tree


async def test_a_deploy_that_is_broken_elsewhere_stays_so(bench: Bench) -> None:
    deploy = await bench.release(await bench.site(), FILES)
    await bench.store.database["deploys"].update_one({"_id": deploy.id}, {"$set": {"branch": 7}})
    await bench.destroy(deploy.id)
    assert (await refused(bench)).startswith("it stays invalid: branch")


async def test_a_pointer_of_another_site_is_not_taken(bench: Bench) -> None:
    deploy = await bench.release(await bench.site(), FILES)
    other = await bench.site("other")
    await bench.destroy(deploy.id)
    await bench.store.database["deploys"].update_one(
        {"_id": deploy.id}, {"$set": {"site_id": other.id}}
    )
    assert await refused(bench) == f"the log has it as one of site {deploy.site_id}"


async def test_a_fleet_comes_back_from_the_log_alone(bench: Bench) -> None:
    deploys: list[Deploy] = []
    for number in range(6):
        site = await bench.site(f"site-{number}")
        for version in range(3):
            files = {"index.html": b"%d of %d" % (version, number)}
            deploys.append(await bench.release(site, files))
    for deploy in deploys[::2]:
        await bench.destroy(deploy.id)
    found = await rebuilt(bench)
    assert [each.deploy.id for each in found] == sorted(deploy.id for deploy in deploys[::2])
    for each in found:
        assert isinstance(each, Rebuilt)
        assert await set_rebuilt(bench.store, each)
    for deploy in deploys:
        now = (await bench.deploy(deploy.id)).metadata
        assert now.model_copy(update={"completed_at": deploy.metadata.completed_at}) == (
            deploy.metadata
        )
