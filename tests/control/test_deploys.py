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


async def test_a_crowd_of_announces_gets_one_number_each(bench: Bench) -> None:
    site = await bench.site()
    deploys = await asyncio.gather(*(bench.announce(site, FILES) for _ in range(30)))
    assert sorted(deploy.number for deploy in deploys) == list(range(1, 31))
    assert len(await bench.store.deploys.of_site(site.id)) == 30


async def test_who_gets_no_number_because_others_keep_taking_it_is_told(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = await bench.site()
    await bench.announce(site, FILES)

    async def before_the_other_process(site_id: str) -> int:
        return 0

    monkeypatch.setattr(bench.store.deploys, "latest_number", before_the_other_process)
    with pytest.raises(ConflictError, match="has a deploy number 1 already"):
        await bench.announce(site, FILES)
    assert len(await bench.store.deploys.of_site(site.id)) == 1


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


async def test_a_new_deploy_waits_for_its_files_to_be_announced(bench: Bench) -> None:
    site = await bench.site()
    new = await bench.deploys.create(site.id, branch="main", title="by hand")
    assert (new.number, new.state, new.title) == (1, DeployState.NEW, "by hand")
    announced = await bench.deploys.announce(new.id, manifest_of(FILES))
    assert announced.state is DeployState.UPLOADING
    assert announced.metadata.pending_uploads == [DIGEST]
    assert announced.metadata.file_count == 2
    assert await bench.deploy(new.id) == announced


async def test_announcing_the_same_files_again_changes_nothing_at_any_time(bench: Bench) -> None:
    site = await bench.site()
    deploy = await bench.announce(site, FILES)
    assert await bench.deploys.announce(deploy.id, manifest_of(FILES)[::-1]) == deploy
    await bench.deploys.upload(DIGEST, one_chunk(PAGE))
    await bench.deploys.finish(deploy.id)
    await bench.publisher.publish(deploy.id)
    ready = await bench.deploy(deploy.id)
    assert await bench.deploys.announce(deploy.id, manifest_of(FILES)) == ready
    assert len(bench.events.subjects("deploy.announced")) == 1


async def test_other_files_are_refused_once_a_deploy_has_its_own(bench: Bench) -> None:
    deploy = await bench.announce(await bench.site(), FILES)
    for other in ({"index.html": PAGE}, FILES | {"copy.html": b"else"}, FILES | {"b": PAGE}):
        with pytest.raises(ConflictError, match="announced with other files"):
            await bench.deploys.announce(deploy.id, manifest_of(other))
    assert await bench.deploy(deploy.id) == deploy


async def test_of_different_announces_at_once_one_wins_and_the_others_are_told(
    bench: Bench,
) -> None:
    new = await bench.deploys.create((await bench.site()).id, branch="main")
    outcomes = await asyncio.gather(
        *(
            bench.deploys.announce(new.id, manifest_of({"n": str(n // 2).encode()}))
            for n in range(8)
        ),
        return_exceptions=True,
    )
    won = [outcome for outcome in outcomes if isinstance(outcome, Deploy)]
    assert won and all(deploy == won[0] for deploy in won)
    assert all(isinstance(lost, ConflictError) for lost in outcomes if lost not in won)
    (file,) = (await bench.store.deploys.manifest(new.id)).files
    assert won[0].metadata.pending_uploads == [file.sha1]


async def test_an_announce_that_died_half_way_is_gone_on_with(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = await bench.deploys.create((await bench.site()).id, branch="main")

    async def dies(*arguments: object, **more: object) -> bool:
        raise OSError("killed")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="killed"):
        patch.setattr(bench.store.deploys, "move", dies)
        await bench.deploys.announce(new.id, manifest_of(FILES))
    assert await bench.deploy(new.id) == new
    with pytest.raises(ConflictError, match="other files"):
        await bench.deploys.announce(new.id, manifest_of({"index.html": b"else"}))
    announced = await bench.deploys.announce(new.id, manifest_of(FILES))
    assert announced.metadata.pending_uploads == [DIGEST]


async def test_a_deploy_without_files_is_refused_and_stays_new(bench: Bench) -> None:
    new = await bench.deploys.create((await bench.site()).id, branch="main")
    with pytest.raises(UsageError, match="at least one file"):
        await bench.deploys.announce(new.id, [])
    assert await bench.deploy(new.id) == new


@pytest.mark.parametrize("state", ["new", "uploading", "processing"])
async def test_a_deploy_that_is_cancelled_before_it_is_completed_is_over(
    bench: Bench, state: str
) -> None:
    site = await bench.site()
    if state == "new":
        deploy = await bench.deploys.create(site.id, branch="main")
    else:
        deploy = await (bench.announce if state == "uploading" else bench.processing)(site, FILES)
    cancelled = await bench.deploys.cancel(deploy.id)
    assert cancelled == await bench.deploy(deploy.id)
    assert cancelled.state is DeployState.CANCELLED
    for act in (
        bench.deploys.announce(deploy.id, manifest_of(FILES)),
        bench.deploys.finish(deploy.id),
        bench.publisher.publish(deploy.id),
        bench.publisher.push(deploy.id),
    ):
        with pytest.raises(ConflictError):
            await act
    assert await bench.deploys.cancel(deploy.id) == cancelled
    assert bench.events.subjects("deploy.cancelled") == [deploy.id]
    assert await bench.published_id(site) is None


async def test_cancelling_never_unpublishes(bench: Bench) -> None:
    site = await bench.site()
    deploy = await bench.release(site, FILES)
    assert await bench.deploys.cancel(deploy.id) == deploy
    assert await bench.published_id(site) == deploy.id
    assert bench.events.subjects("deploy.cancelled") == []


async def test_the_sizes_of_files_announced_by_digest_come_from_the_store(bench: Bench) -> None:
    site = await bench.site()
    files = [ManifestFile(path="index.html", sha1=DIGEST)]
    deploy = await bench.deploys.create(site.id, files, branch="main")
    assert deploy.metadata.byte_count == 0
    await bench.deploys.upload(DIGEST, one_chunk(PAGE))
    finished = await bench.deploys.finish(deploy.id)
    assert finished.metadata.byte_count == len(PAGE)
    tree = await bench.objects.get_tree(finished.metadata.tree or "")
    assert tree.files["index.html"] == TreeEntry(DIGEST, len(PAGE))


def manifest_of(files: dict[str, bytes]) -> list[ManifestFile]:
    return [
        ManifestFile(path=path, sha1=hashlib.sha1(data, usedforsecurity=False).hexdigest())
        for path, data in files.items()
    ]
