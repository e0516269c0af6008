"""Tests of building: from a commit to a published deploy, and all that can go wrong between."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from blackstart.builder.git import Checkout, Git
from blackstart.errors import ConflictError, StorageError
from blackstart.model import BuildState, Context, DeployState, Repo, Site
from blackstart.repositories import RepositoryPolicy
from blackstart.store import ObjectStore

if TYPE_CHECKING:
    from tests.conftest import Bench, Client, Repository


async def test_a_build_takes_the_head_all_the_way_to_the_visitor(
    bench: Bench, repository: Repository, site: Site, client_of: Client
) -> None:
    repository.commit({"index.html": b"first"})
    head = repository.commit({"index.html": b"second", "a/b.txt": b"text"})
    build = await bench.builds.start(site)
    assert await bench.worker().run_one()
    build = await bench.build(build)
    assert (build.state, build.error, build.commit_ref) == (BuildState.DONE, None, head)
    assert build.lease is None
    deploy = await bench.deploy(build.deploy_id or "")
    assert (deploy.commit_ref, deploy.build_id, deploy.branch) == (head, build.id, "main")
    assert await bench.published_id(site) == deploy.id
    visitor = client_of(bench.origin())
    assert (await visitor.get("/")).content == b"second"
    assert (await visitor.get("/a/b.txt")).content == b"text"


async def test_a_build_of_a_named_commit_is_of_exactly_that_commit(
    bench: Bench, repository: Repository, site: Site, client_of: Client
) -> None:
    bench.safeguards.enable("rebuild-by-commit")
    first = repository.commit({"index.html": b"first"})
    repository.commit({"index.html": b"second"})
    await bench.builds.start(site, commit_ref=first)
    await bench.worker().run_one()
    assert (await client_of(bench.origin()).get("/")).content == b"first"


async def test_the_same_commit_makes_the_same_tree_and_sends_nothing_twice(
    bench: Bench, repository: Repository, site: Site
) -> None:
    repository.commit({"index.html": b"home", "app.js": b"code"})
    builds = []
    for _ in range(2):
        builds.append(await bench.builds.start(site))
        assert await bench.worker().run_one()
    one, two = [await bench.build(build) for build in builds]
    assert one.deploy_id != two.deploy_id
    trees = {(await bench.deploy(build.deploy_id or "")).metadata.tree for build in (one, two)}
    assert len(trees) == 1
    assert "uploading 2 of 2 files" in one.log
    assert "uploading 0 of 2 files" in two.log


async def test_what_is_not_published_is_in_the_log(
    bench: Bench, repository: Repository, site: Site
) -> None:
    (repository.folder / "link").symlink_to("/etc/passwd")
    repository.commit({"index.html": b"home", "_redirects": b"/a /b abc\n"})
    build = await bench.builds.start(site)
    await bench.worker().run_one()
    log = (await bench.build(build)).log
    assert "skipped link: a symbolic link that leads out of the site" in log
    assert any(line.startswith("_redirects line 1: ") for line in log)
    assert log[-1].endswith("published")


async def test_a_build_that_cannot_be_made_ends_as_an_error_that_says_why(
    bench: Bench, repository: Repository, site: Site, tmp_path: Path
) -> None:
    bench.safeguards.enable("rebuild-by-commit")
    repository.commit({".gitignore": b"nothing to publish"})
    elsewhere = await bench.site("elsewhere", repo=Repo(url=str(tmp_path / "no"), branch="main"))
    builds = {
        "has no files to publish": await bench.builds.start(site),
        f"no commit {'c' * 40}": await bench.builds.start(site, commit_ref="c" * 40),
        "no such folder": await bench.builds.start(elsewhere),
    }
    while await bench.worker().run_one():
        pass
    for reason, queued in builds.items():
        build = await bench.build(queued)
        assert build.state is BuildState.ERROR
        assert reason in (build.error or "")
        assert build.log[-1] == build.error
        assert build.deploy_id is None
    assert await bench.published_id(site) is None


async def test_a_store_that_fails_ends_the_build_and_its_deploy_as_errors(
    bench: Bench, repository: Repository, site: Site
) -> None:
    class Full(ObjectStore):
        async def put(self, key: str, data: bytes) -> None:
            raise StorageError("the disk is full")

    repository.commit({"index.html": b"home"})
    queued = await bench.builds.start(site)
    await bench.worker(deploys=bench.deploy_service(Full.open("memory://"))).run_one()
    build = await bench.build(queued)
    assert (build.state, build.error) == (BuildState.ERROR, "the disk is full")
    assert (await bench.deploy(build.deploy_id or "")).state is DeployState.ERROR


async def test_no_checkout_is_left_behind(
    bench: Bench,
    repository: Repository,
    site: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    repository.commit({"index.html": b"home"})
    await bench.builds.start(site)
    await bench.worker().run_one()
    bench.safeguards.enable("rebuild-by-commit")
    await bench.builds.start(site, commit_ref="c" * 40)
    await bench.worker().run_one()
    assert list(folder.iterdir()) == []


async def test_a_build_that_sticks_at_the_publish_check_is_pushed_through(
    bench: Bench, repository: Repository, site: Site, client_of: Client
) -> None:
    repository.commit({"index.html": b"first"})
    await bench.builds.start(site)
    worker = bench.worker()
    await worker.run_one()
    await bench.destroy(await bench.published_id(site) or "")
    bench.clock.advance(1)
    repository.commit({"index.html": b"second"})
    queued = await bench.builds.start(site)
    await worker.run_one()

    stuck = await bench.build(queued)
    assert stuck.state is BuildState.STUCK
    assert "cannot compare with deploy" in (stuck.error or "")
    assert (await bench.deploy(stuck.deploy_id or "")).state is DeployState.PROCESSING
    visitor = client_of(bench.origin())
    assert (await visitor.get("/")).status_code == 404

    await bench.builds.push_stuck(stuck)
    pushed = await bench.build(queued)
    assert (pushed.state, pushed.error) == (BuildState.DONE, None)
    assert pushed.log[-1] == "pushed through"
    assert (await visitor.get("/")).content == b"second"


async def test_a_repository_address_git_cannot_take_ends_the_build_and_not_the_worker(
    bench: Bench,
) -> None:
    site = await bench.site("odd", repo=Repo(url="https://127.0.0.1/\0x", branch="main"))
    build = await bench.builds.start(site)
    assert await bench.worker().run_one()
    assert (await bench.build(build)).state is BuildState.ERROR


async def test_a_rerun_builds_exactly_that_commit_even_after_a_force_push(
    bench: Bench, repository: Repository, site: Site, client_of: Client
) -> None:
    bench.safeguards.enable("rebuild-by-commit")
    repository.commit({"index.html": b"base"})
    gone = repository.commit({"index.html": b"rewritten later"})
    first = await bench.builds.start(site)
    await bench.worker().run_one()
    repository.git("reset", "--quiet", "--hard", "HEAD~1")
    forced = repository.commit({"index.html": b"forced"})
    await bench.builds.start(site)
    await bench.worker().run_one()
    assert (await client_of(bench.origin()).get("/")).content == b"forced"

    again = await bench.builds.rerun(await bench.build(first))
    await bench.worker().run_one()
    build = await bench.build(again)
    assert (build.state, build.commit_ref) == (BuildState.DONE, gone)
    assert repository.git("rev-parse", "main") == forced
    assert (await client_of(bench.origin()).get("/")).content == b"rewritten later"


async def test_a_build_of_another_branch_is_a_branch_deploy_and_not_published(
    bench: Bench, repository: Repository, site: Site
) -> None:
    repository.commit({"index.html": b"main"})
    repository.git("checkout", "--quiet", "-b", "side")
    repository.commit({"index.html": b"side"})
    queued = await bench.builds.start(site, branch="side")
    await bench.worker().run_one()
    build = await bench.build(queued)
    assert build.state is BuildState.DONE
    deploy = await bench.deploy(build.deploy_id or "")
    assert (deploy.context, deploy.branch) == (Context.BRANCH, "side")
    assert deploy.state is DeployState.READY
    assert await bench.published_id(site) is None


async def test_a_stuck_build_that_is_called_off_can_no_more_be_pushed_through(
    bench: Bench, repository: Repository, site: Site
) -> None:
    repository.commit({"index.html": b"home"})
    damaged = await bench.destroy((await bench.release(site, {"index.html": b"old"})).id)
    queued = await bench.builds.start(site)
    await bench.worker().run_one()
    stuck = await bench.build(queued)
    cancelled = await bench.builds.cancel(stuck)
    assert (stuck.state, cancelled.state) == (BuildState.STUCK, BuildState.CANCELLED)
    assert (await bench.deploy(stuck.deploy_id or "")).state is DeployState.CANCELLED
    for build in (stuck, cancelled):
        with pytest.raises(ConflictError):
            await bench.builds.push_stuck(build)
    assert await bench.published_id(site) == damaged.id


async def test_a_deploy_whose_tree_is_set_is_published_without_building_again(
    bench: Bench, repository: Repository, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit({"index.html": b"home"})
    queued = await bench.builds.start(site)

    async def dies(deploy_id: str) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch, pytest.raises(asyncio.CancelledError):
        patch.setattr(bench.publisher, "publish", dies)
        await bench.worker("dying").run_one()
    left = await bench.build(queued)
    assert left.state is BuildState.RUNNING
    bench.outlive_the_lease()

    class Away(Git):
        async def checkout(self, repo: Repo, commit: str, folder: Path) -> Checkout:
            raise AssertionError("nothing is to be built")

    assert await bench.worker("heir", source=Away(bench.cache, RepositoryPolicy())).run_one()
    build = await bench.build(queued)
    assert (build.state, build.deploy_id) == (BuildState.DONE, left.deploy_id)
    assert await bench.published_id(site) == left.deploy_id


async def test_a_deploy_that_was_made_and_not_noted_down_is_given_up_by_the_heir(
    bench: Bench, repository: Repository, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit({"index.html": b"home"})
    queued = await bench.builds.start(site)

    async def dies(*arguments: object) -> bool:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch, pytest.raises(asyncio.CancelledError):
        patch.setattr(bench.store.builds, "set_deploy", dies)
        await bench.worker("dying").run_one()
    bench.outlive_the_lease()
    assert await bench.worker("heir").run_one()
    newer, older = await bench.store.deploys.of_site(site.id)
    assert (older.state, newer.state) == (DeployState.ERROR, DeployState.READY)
    assert (await bench.build(queued)).deploy_id == newer.id
