"""Tests of workers: several at once, slow ones, dying ones, and their heirs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from blackstart.builder.git import Checkout, Git
from blackstart.errors import StorageError
from blackstart.model import BuildState, DeployState, Repo, Site
from blackstart.repositories import RepositoryPolicy
from blackstart.store import ObjectStore

if TYPE_CHECKING:
    from tests.conftest import Bench, Client, Repository


class Pausing(Git):
    """git that holds every checkout until it is let go."""

    def __init__(self, cache: Path) -> None:
        super().__init__(cache, RepositoryPolicy([Path("/")]))
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()

    async def checkout(self, repo: Repo, commit: str, folder: Path) -> Checkout:
        self.reached.set()
        await self.go_on.wait()
        return await super().checkout(repo, commit, folder)


class Stalling(ObjectStore):
    """An object store whose uploads hang, so that a worker can die there."""

    def __init__(self, objects: ObjectStore) -> None:
        super().__init__(objects.backend)
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()

    async def put_blob_stream(
        self, chunks: AsyncIterable[bytes], sha1: str, *, max_bytes: int
    ) -> int:
        self.reached.set()
        await self.go_on.wait()
        return await super().put_blob_stream(chunks, sha1, max_bytes=max_bytes)


async def reached(place: Pausing | Stalling) -> None:
    """Until the worker is there; fails the test when it never comes."""
    await asyncio.wait_for(place.reached.wait(), 30)


@asynccontextmanager
async def until_it_dies(work: asyncio.Task[bool]) -> AsyncIterator[None]:
    """The task is gone at the end, as a killed worker is."""
    yield
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work


async def test_an_empty_queue_is_no_work(bench: Bench) -> None:
    assert not await bench.worker().run_one()


async def test_no_two_workers_ever_run_one_build(bench: Bench, repository: Repository) -> None:
    repository.commit({"index.html": b"home"})
    sites = [await bench.site(f"site{number}", repo=repository.repo) for number in range(6)]
    builds = [await bench.builds.start(site) for site in sites]

    async def work(name: str) -> None:
        worker = bench.worker(name)
        while await worker.run_one():
            pass

    await asyncio.gather(*(work(f"w{number}") for number in range(4)))
    assert sorted(bench.events.subjects("build.started")) == sorted(build.id for build in builds)
    assert sorted(bench.events.subjects("build.done")) == sorted(build.id for build in builds)
    for site in sites:
        assert len(await bench.store.deploys.of_site(site.id)) == 1


async def test_a_build_whose_worker_died_is_taken_over_after_its_lease_and_published_once(
    bench: Bench, repository: Repository, site: Site, client_of: Client
) -> None:
    commit = repository.commit({"index.html": b"home"})
    queued = await bench.builds.start(site)
    stalling = Stalling(bench.objects)
    dying = bench.worker("dying", deploys=bench.deploy_service(stalling))
    async with until_it_dies(asyncio.create_task(dying.run_one())):
        await reached(stalling)
    left = await bench.build(queued)
    assert left.state is BuildState.RUNNING
    half_made = left.deploy_id

    heir = bench.worker("heir")
    assert not await heir.run_one(), "the lease still holds"
    bench.outlive_the_lease()
    repository.commit({"index.html": b"pushed meanwhile"})
    assert await heir.run_one()
    assert not await heir.run_one()

    build = await bench.build(queued)
    assert (build.state, build.commit_ref) == (BuildState.DONE, commit)
    assert build.deploy_id == half_made, "what was begun is gone on with"
    assert (await bench.deploy(half_made or "")).number == 1
    assert len(await bench.store.deploys.of_site(site.id)) == 1
    assert len(bench.events.subjects("site.published")) == 1
    assert await bench.published_id(site) == build.deploy_id
    assert (await client_of(bench.origin()).get("/")).content == b"home"


async def test_a_worker_that_was_thought_dead_in_its_checkout_changes_nothing_any_more(
    bench: Bench, repository: Repository, site: Site, client_of: Client
) -> None:
    repository.commit({"index.html": b"old"})
    queued = await bench.builds.start(site)
    pausing = Pausing(bench.cache)
    work = asyncio.create_task(bench.worker("slow", source=pausing).run_one())
    await reached(pausing)
    bench.outlive_the_lease()
    repository.commit({"index.html": b"new"})
    assert await bench.worker("heir").run_one()
    done = await bench.build(queued)

    pausing.go_on.set()
    await work
    assert await bench.build(queued) == done
    assert await bench.published_id(site) == done.deploy_id
    assert (await client_of(bench.origin()).get("/")).content == b"new"
    assert bench.events.subjects("build.taken_over") == [queued.id]


async def test_a_worker_that_was_thought_dead_in_its_upload_disturbs_the_heir_in_nothing(
    bench: Bench, repository: Repository, site: Site
) -> None:
    repository.commit({"index.html": b"home"})
    queued = await bench.builds.start(site)
    slow_store, heirs_store = Stalling(bench.objects), Stalling(bench.objects)
    slow = bench.worker("slow", deploys=bench.deploy_service(slow_store))
    heir = bench.worker("heir", deploys=bench.deploy_service(heirs_store))
    slow_work = asyncio.create_task(slow.run_one())
    await reached(slow_store)
    bench.outlive_the_lease()
    heirs_work = asyncio.create_task(heir.run_one())
    await reached(heirs_store)

    slow_store.go_on.set()
    await slow_work
    assert (await bench.build(queued)).state is BuildState.RUNNING, "it is the heir's now"
    heirs_store.go_on.set()
    await heirs_work
    build = await bench.build(queued)
    assert (build.state, build.error) == (BuildState.DONE, None)
    assert await bench.published_id(site) == build.deploy_id
    assert len(bench.events.subjects("site.published")) == 1


async def test_a_worker_at_rest_wakes_when_the_doorbell_rings(
    bench: Bench, repository: Repository, site: Site
) -> None:
    repository.commit({"index.html": b"home"})
    work = asyncio.create_task(bench.worker().run_forever())
    await bench.builds.start(site)
    await bench.events.wait_for("build.done")
    work.cancel()
    ended_works, _ = await asyncio.wait([work], timeout=30)
    assert ended_works == {work}, "it ends when it is told to"
    assert await bench.published_id(site) is not None


async def test_a_slow_build_notices_that_the_head_moved_on_and_builds_the_newer_one(
    bench: Bench, repository: Repository, site: Site
) -> None:
    repository.commit({"index.html": b"old"})
    slow = Pausing(bench.cache)
    first = await bench.builds.start(site)
    work = asyncio.create_task(bench.worker("slow", source=slow).run_one())
    await reached(slow)
    newer = repository.commit({"index.html": b"new"})
    second = await bench.builds.start(site)
    assert not await bench.worker("quick").run_one(), "the site has a running build"
    slow.go_on.set()
    assert await work
    assert await bench.worker("quick").run_one()
    shown = await bench.deploy(await bench.published_id(site) or "")
    assert (shown.commit_ref, shown.build_id) == (newer, second.id)
    assert {(await bench.build(build)).commit_ref for build in (first, second)} == {newer}


async def test_a_slow_build_of_an_older_head_never_comes_out_over_a_newer_one(
    bench: Bench, repository: Repository, site: Site
) -> None:
    repository.commit({"index.html": b"old"})
    stalling = Stalling(bench.objects)
    first = await bench.builds.start(site)
    slow = bench.worker("slow", deploys=bench.deploy_service(stalling))
    work = asyncio.create_task(slow.run_one())
    await reached(stalling)
    newer = repository.commit({"index.html": b"new"})
    bench.clock.advance(1)
    second = await bench.builds.start(site)
    bench.outlive_the_lease()
    assert await bench.worker("quick").run_one()
    stalling.go_on.set()
    assert await work
    shown = await bench.deploy(await bench.published_id(site) or "")
    assert (shown.commit_ref, shown.build_id) == (newer, second.id)
    over = await bench.build(first)
    assert (over.state, over.error) == (BuildState.CANCELLED, f"superseded by build {second.id}")
    assert (await bench.deploy(over.deploy_id or "")).state is DeployState.CANCELLED
    assert len(bench.events.subjects("site.published")) == 1


async def test_a_build_that_is_called_off_is_not_gone_on_with(
    bench: Bench, repository: Repository, site: Site
) -> None:
    repository.commit({"index.html": b"home"})
    queued = await bench.builds.start(site)
    stalling = Stalling(bench.objects)
    work = asyncio.create_task(bench.worker(deploys=bench.deploy_service(stalling)).run_one())
    await reached(stalling)
    cancelled = await bench.builds.cancel(await bench.build(queued))
    stalling.go_on.set()
    assert await work
    assert await bench.build(queued) == cancelled
    assert (await bench.deploy(cancelled.deploy_id or "")).state is DeployState.CANCELLED
    assert await bench.published_id(site) is None
    assert bench.events.subjects("build.taken_over") == [queued.id]


class Stamping(Git):
    """A site generator that writes down which worker ran it."""

    def __init__(self, cache: Path, worker: str) -> None:
        super().__init__(cache, RepositoryPolicy([Path("/")]))
        self._worker = worker

    async def checkout(self, repo: Repo, commit: str, folder: Path) -> Checkout:
        checkout = await super().checkout(repo, commit, folder)
        (folder / "stamp.txt").write_text(self._worker)
        return replace(checkout, paths=[*checkout.paths, "stamp.txt"])


async def test_an_heir_whose_files_are_others_begins_a_deploy_of_its_own(
    bench: Bench, repository: Repository, site: Site, client_of: Client
) -> None:
    repository.commit({"index.html": b"home"})
    queued = await bench.builds.start(site)
    stalling = Stalling(bench.objects)
    dying = bench.worker(
        "dying", source=Stamping(bench.cache, "dying"), deploys=bench.deploy_service(stalling)
    )
    async with until_it_dies(asyncio.create_task(dying.run_one())):
        await reached(stalling)
    half_made = (await bench.build(queued)).deploy_id or ""
    bench.outlive_the_lease()
    assert await bench.worker("heir", source=Stamping(bench.cache, "heir")).run_one()
    build = await bench.build(queued)
    assert build.state is BuildState.DONE
    assert (await bench.deploy(half_made)).state is DeployState.ERROR
    deploy = await bench.deploy(build.deploy_id or "")
    assert (deploy.number, deploy.build_id) == (2, queued.id)
    assert await bench.published_id(site) == deploy.id
    assert (await client_of(bench.origin()).get("/stamp.txt")).content == b"heir"
    assert len(bench.events.subjects("site.published")) == 1


async def test_a_worker_that_is_asked_to_stop_ends_its_build_and_takes_no_more(
    bench: Bench, repository: Repository, site: Site
) -> None:
    repository.commit({"index.html": b"home"})
    first = await bench.builds.start(site)
    pausing = Pausing(bench.cache)
    worker = bench.worker(source=pausing)
    work = asyncio.create_task(worker.run_forever())
    await reached(pausing)
    second = await bench.builds.start(await bench.site("other", repo=repository.repo))
    worker.stop()
    assert worker.job is not None
    pausing.go_on.set()
    await asyncio.wait_for(work, 30)
    assert worker.job is None
    assert (await bench.build(first)).state is BuildState.DONE
    assert (await bench.build(second)).state is BuildState.QUEUED
    await worker.give_back()
    assert (await bench.build(first)).state is BuildState.DONE, "there is nothing to give back"


async def test_a_build_that_was_cut_off_and_given_back_is_gone_on_with_at_once(
    bench: Bench, repository: Repository, site: Site
) -> None:
    repository.commit({"index.html": b"home"})
    queued = await bench.builds.start(site)
    stalling = Stalling(bench.objects)
    stopping = bench.worker("stopping", deploys=bench.deploy_service(stalling))
    async with until_it_dies(asyncio.create_task(stopping.run_one())):
        await reached(stalling)
        stopping.stop()
    await stopping.give_back()
    given = await bench.build(queued)
    assert (given.state, given.lease) == (BuildState.QUEUED, None)
    assert await bench.worker("heir").run_one()
    build = await bench.build(queued)
    assert (build.state, build.deploy_id) == (BuildState.DONE, given.deploy_id)


async def test_a_worker_that_fails_after_it_lost_the_build_leaves_the_deploy_to_the_heir(
    bench: Bench, repository: Repository, site: Site
) -> None:
    class Failing(Stalling):
        async def put(self, key: str, data: bytes) -> None:
            raise StorageError("the disk is full")

    repository.commit({"index.html": b"home"})
    queued = await bench.builds.start(site)
    failing = Failing(bench.objects)
    work = asyncio.create_task(bench.worker(deploys=bench.deploy_service(failing)).run_one())
    await reached(failing)
    waiting = await bench.build(queued)
    assert await bench.queue().give_back(waiting)
    failing.go_on.set()
    assert await work
    deploy_id = (await bench.build(queued)).deploy_id or ""
    assert (await bench.deploy(deploy_id)).state is DeployState.UPLOADING
    assert await bench.worker("heir").run_one()
    build = await bench.build(queued)
    assert (build.state, build.deploy_id) == (BuildState.DONE, deploy_id)


@pytest.mark.parametrize("where", ["checkout", "upload"])
async def test_a_site_that_is_deleted_during_its_build_leaves_nothing_behind(
    bench: Bench, repository: Repository, client_of: Client, where: str
) -> None:
    repository.commit({"index.html": b"home"})
    site = await bench.site(repo=repository.repo)
    await bench.builds.start(site)
    api = client_of(bench.control(), "http://control.test/api/v1")
    api.headers.update(await bench.bearer())
    source, objects = Pausing(bench.cache), Stalling(bench.objects)
    place, other = (source, objects) if where == "checkout" else (objects, source)
    other.go_on.set()
    worker = bench.worker(source=source, deploys=bench.deploy_service(objects))
    work = asyncio.create_task(worker.run_one())
    await reached(place)
    assert (await api.delete(f"/sites/{site.id}")).status_code == 204
    place.go_on.set()
    assert await work
    assert await bench.store.deploys.of_site(site.id) == []
    assert await bench.store.sites.find(site.id) is None
    assert not await worker.run_one()
