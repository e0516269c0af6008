"""Tests of the life of a deploy up to its pointer."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

import pytest

from blackstart.errors import (
    ConflictError,
    DigestMismatchError,
    InvalidDeployError,
    NotFoundError,
    UsageError,
)
from blackstart.model import Deploy, DeployState, ManifestFile, Tree, TreeEntry
from blackstart.store.objects import one_chunk

if TYPE_CHECKING:
    from tests.conftest import Bench

PAGE = b"a page"
DIGEST = hashlib.sha1(PAGE, usedforsecurity=False).hexdigest()
FILES = {"index.html": PAGE, "copy.html": PAGE}


async def test_a_deploy_is_announced_with_what_it_will_hold(bench: Bench) -> None:
    site = await bench.site()
    deploy = await bench.announce(site, FILES)
    assert (deploy.number, deploy.state) == (1, DeployState.UPLOADING)
    assert (deploy.metadata.file_count, deploy.metadata.byte_count) == (2, 12)
    assert deploy.metadata.tree is None
    assert await bench.deploy(deploy.id) == deploy
    assert bench.events.subjects("deploy.announced") == [deploy.id]


async def test_announces_at_the_same_time_get_different_numbers(bench: Bench) -> None:
    site = await bench.site()
    deploys = await asyncio.gather(*(bench.announce(site, FILES) for _ in range(8)))
    assert sorted(deploy.number for deploy in deploys) == list(range(1, 9))


async def test_in_a_crowd_of_announces_no_number_is_given_twice_and_who_gets_none_is_told(
    bench: Bench,
) -> None:
    site = await bench.site()
    outcomes = await asyncio.gather(
        *(bench.announce(site, FILES) for _ in range(20)), return_exceptions=True
    )
    numbers = sorted(outcome.number for outcome in outcomes if isinstance(outcome, Deploy))
    assert numbers == list(range(1, len(numbers) + 1))
    refused = [outcome for outcome in outcomes if not isinstance(outcome, Deploy)]
    assert all(isinstance(outcome, ConflictError) for outcome in refused)
    assert len(await bench.store.deploys.of_site(site.id)) == len(numbers)


@pytest.mark.parametrize("path", ["", "/", "/a", "a//b", "a/", ".", "a/../b", "..", "./a", "a\0b"])
async def test_a_path_that_leaves_the_site_is_refused(bench: Bench, path: str) -> None:
    site = await bench.site()
    file = ManifestFile(path=path, sha1=DIGEST, size=1)
    with pytest.raises(UsageError, match="not a path inside a site"):
        await bench.deploys.create(site.id, [file], branch="main")
    assert await bench.store.deploys.of_site(site.id) == []


async def test_a_path_that_stands_twice_is_refused(bench: Bench) -> None:
    file = ManifestFile(path="a", sha1=DIGEST, size=1)
    with pytest.raises(UsageError, match="listed twice"):
        await bench.deploys.create((await bench.site()).id, [file, file], branch="main")


async def test_bytes_with_another_digest_are_refused_and_stay_pending(bench: Bench) -> None:
    deploy = await bench.announce(await bench.site(), FILES)
    with pytest.raises(DigestMismatchError):
        await bench.deploys.upload(DIGEST, one_chunk(b"other bytes"))
    assert not await bench.objects.has_blob(DIGEST)
    assert (await bench.deploy(deploy.id)).metadata.pending_uploads == [DIGEST]


async def test_a_deploy_cannot_be_finished_before_its_files_are_there(bench: Bench) -> None:
    deploy = await bench.announce(await bench.site(), FILES)
    with pytest.raises(ConflictError, match="still waits for 1 files"):
        await bench.deploys.finish(deploy.id)
    assert (await bench.deploy(deploy.id)).state is DeployState.UPLOADING


async def test_a_finished_deploy_points_to_the_tree_of_its_files(bench: Bench) -> None:
    deploy = await bench.processing(await bench.site(), FILES)
    assert deploy.state is DeployState.PROCESSING
    tree = Tree({path: TreeEntry(DIGEST, len(PAGE)) for path in FILES})
    assert deploy.metadata.tree == tree.id
    assert await bench.objects.get_tree(tree.id) == tree
    assert bench.events.subjects("pointer.set") == [deploy.id]


async def test_finishing_again_changes_nothing(bench: Bench) -> None:
    deploy = await bench.processing(await bench.site(), FILES)
    assert await bench.deploys.finish(deploy.id) == deploy


async def test_the_tree_is_stored_before_the_pointer_is_set(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_pointer = bench.store.deploys.set_pointer
    seen: list[str] = []

    async def look_then_set(deploy_id: str, tree_id: str, byte_count: int) -> bool:
        await bench.objects.get_tree(tree_id)
        seen.append(tree_id)
        return await set_pointer(deploy_id, tree_id, byte_count)

    monkeypatch.setattr(bench.store.deploys, "set_pointer", look_then_set)
    deploy = await bench.processing(await bench.site(), FILES)
    assert seen == [deploy.metadata.tree]


async def test_a_deploy_that_is_ready_is_finished_already(bench: Bench) -> None:
    deploy = await bench.release(await bench.site(), FILES)
    assert await bench.deploys.finish(deploy.id) == deploy
    assert await bench.deploy(deploy.id) == deploy


@pytest.mark.parametrize("state", [DeployState.ERROR, DeployState.CANCELLED])
async def test_a_deploy_that_is_over_cannot_be_finished(bench: Bench, state: DeployState) -> None:
    deploy = await bench.release(await bench.site(), FILES)
    await bench.store.deploys.move(deploy.id, from_states=[DeployState.READY], to=state)
    before = await bench.store.deploys.raw(deploy.id)
    with pytest.raises(ConflictError, match=f"is {state}"):
        await bench.deploys.finish(deploy.id)
    assert await bench.store.deploys.raw(deploy.id) == before


async def test_a_deploy_whose_metadata_was_destroyed_cannot_be_finished(bench: Bench) -> None:
    deploy = await bench.announce(await bench.site(), FILES)
    await bench.destroy(deploy.id)
    with pytest.raises(InvalidDeployError, match=deploy.id):
        await bench.deploys.finish(deploy.id)
    with pytest.raises(NotFoundError):
        await bench.deploys.finish("nothing")
