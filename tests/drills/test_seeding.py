"""A fleet's past, written in bulk, is what the builder would have made of the same commits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from blackstart.drills.world.fleet import Fleet, FleetSite, plan_fleet
from blackstart.drills.world.repositories import read_user_repository
from blackstart.drills.world.seeding import seed_fleet
from blackstart.model import Build, BuildState, Deploy, DeployState, Plan
from blackstart.seed import Seed
from blackstart.store import ObjectStore

if TYPE_CHECKING:
    from tests.conftest import Bench, Repository

FILES = {
    "index.html": b"home",
    "sub folder/a b.txt": b"space",
    "gr\u00f6\u00dfe.bin": bytes(range(256)),
    "copy of home.html": b"home",
    "empty": b"",
    ".gitignore": b"*.log",
    ".github/ci.yml": b"on: push",
    ".well-known/id": b"1",
}


@pytest.fixture
async def fleet(bench: Bench, repository: Repository, tmp_path: Path) -> Fleet:
    """A small fleet with one repository of the user's, in the bench's stores."""
    repository.commit({"index.html": b"first", "old.html": b"old"})
    (repository.folder / "old.html").unlink()
    (repository.folder / "link").symlink_to("index.html")
    repository.commit(FILES)
    users = [read_user_repository(repository.url)]
    fleet = plan_fleet(20, Seed(1), tmp_path / "fleet", users)
    fleet.make_repositories(bench.clock.time())
    await seed_fleet(fleet, bench.store, bench.objects, start=bench.clock.now(), seed=Seed(1))
    return fleet


async def _past(bench: Bench, planned: FleetSite) -> list[Deploy]:
    """The deploys that were written for a site, oldest first."""
    site = await bench.store.sites.by_name(planned.name)
    assert site is not None
    deploys = [
        deploy
        for deploy in await bench.store.deploys.of_site(site.id)
        if isinstance(deploy, Deploy)
    ]
    return sorted(deploys, key=lambda deploy: deploy.number)


async def _built(bench: Bench, planned: FleetSite, index: int, objects: ObjectStore) -> Deploy:
    """What the real builder makes of the same commit, in an object store of its own."""
    bench.safeguards.enable("rebuild-by-commit")
    bench.safeguards.enable("verified-uploads")
    site = await bench.store.sites.by_name(planned.name)
    assert site is not None
    build = await bench.builds.start(site, commit_ref=planned.commit(index).id)
    assert await bench.worker(deploys=bench.deploy_service(objects)).run_one()
    ended: Build = await bench.store.builds.get(build.id)
    assert ended.state is BuildState.DONE, ended.error
    return await bench.deploy(ended.deploy_id or "")


def _generated(fleet: Fleet) -> FleetSite:
    return next(site for site in fleet.sites if site.user is None and site.deployed > 2)


def _users(fleet: Fleet) -> FleetSite:
    return next(site for site in fleet.sites if site.user is not None)


@pytest.mark.parametrize("which", [_generated, _users], ids=["generated", "the user's"])
async def test_what_is_written_for_a_commit_is_what_the_builder_makes_of_it(
    bench: Bench, fleet: Fleet, which: Callable[[Fleet], FleetSite]
) -> None:
    planned = which(fleet)
    past = await _past(bench, planned)
    assert [deploy.commit_ref for deploy in past] == [
        planned.commit(index).id for index in range(planned.deployed)
    ]
    for index in (0, planned.deployed - 1):
        own = ObjectStore.open("memory://")
        built = await _built(bench, planned, index, own)
        written = past[index]
        assert built.id != written.id
        assert built.metadata.tree == written.metadata.tree
        for part in ("file_count", "byte_count", "pending_uploads"):
            assert getattr(built.metadata, part) == getattr(written.metadata, part)
        manifests = [await bench.store.deploys.manifest(each.id) for each in (built, written)]
        assert manifests[0].files == manifests[1].files
        tree = await bench.objects.get_tree(written.metadata.tree or "")
        assert tree == await own.get_tree(built.metadata.tree or "")
        for entry in tree.files.values():
            assert await bench.objects.get_blob(entry.sha1) == await own.get_blob(entry.sha1)


async def test_every_site_shows_the_deploy_that_was_planned(bench: Bench, fleet: Fleet) -> None:
    for planned in fleet.sites:
        past = await _past(bench, planned)
        site = await bench.store.sites.by_name(planned.name)
        assert site is not None
        assert site.published_deploy_id == past[planned.published].id
        assert site.plan is planned.plan
        assert [deploy.number for deploy in past] == list(range(1, planned.deployed + 1))
        assert {deploy.state for deploy in past} == {DeployState.READY}
        assert sorted(past, key=lambda deploy: deploy.created_at) == past
        assert max(deploy.created_at for deploy in past) < bench.clock.now()


async def test_the_users_site_comes_first_and_is_on_the_highest_plan(fleet: Fleet) -> None:
    site = fleet.sites[0]
    assert site.user is not None
    assert (site.plan, site.published) == (Plan.ENTERPRISE, site.deployed - 1)
    assert site.weight == max(each.weight for each in fleet.sites)
    assert len(fleet.sites) == 21


async def test_the_users_old_files_are_not_carried_into_new_deploys(
    bench: Bench, fleet: Fleet
) -> None:
    past = await _past(bench, _users(fleet))
    tree = await bench.objects.get_tree(past[-1].metadata.tree or "")
    published = {path for path in FILES if not path.startswith(".git")} | {"link"}
    assert set(tree.files) == published
