"""Tests of the janitor: what was left half-way goes on, and nothing else is touched."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from blackstart.control.janitor import EVERY_S, Janitor
from blackstart.control.service import control_service
from blackstart.model import Deploy, DeployState, Site
from blackstart.settings import Settings
from blackstart.store.objects import ObjectStore, one_chunk

if TYPE_CHECKING:
    from tests.conftest import Bench

from tests.conftest import PATIENCE_S, sha1_of

FILES = {"index.html": b"home", "app.js": b"code"}


async def arrived(bench: Bench, site: Site, *names: str) -> Deploy:
    """A deploy of whose files these came, before its control plane died."""
    deploy = await bench.announce(site, FILES)
    for name in names:
        await bench.deploys.upload(sha1_of(FILES[name]), one_chunk(FILES[name]))
    return deploy


@pytest.fixture
async def site(bench: Bench) -> Site:
    bench.safeguards.enable("verified-uploads")
    return await bench.site()


async def test_a_deploy_that_was_left_processing_is_finished(bench: Bench, site: Site) -> None:
    deploy = await bench.processing(site, FILES)
    await Janitor(bench.desk).sweep()
    assert (await bench.deploy(deploy.id)).state is DeployState.READY
    assert await bench.published_id(site) == deploy.id


async def test_a_deploy_that_has_all_its_files_is_finished(bench: Bench, site: Site) -> None:
    deploy = await arrived(bench, site, *FILES)
    await Janitor(bench.desk).sweep()
    assert await bench.published_id(site) == deploy.id


async def test_a_deploy_that_waits_for_a_file_and_that_of_a_build_stay_as_they_are(
    bench: Bench, site: Site
) -> None:
    waiting = await arrived(bench, site, "index.html")
    built = await bench.processing(await bench.site("built"), {"index.html": b"home"})
    await bench.store.database["deploys"].update_one(
        {"_id": built.id}, {"$set": {"build_id": "b1"}}
    )
    await Janitor(bench.desk).sweep()
    assert (await bench.deploy(waiting.id)).state is DeployState.UPLOADING
    assert (await bench.deploy(built.id)).state is DeployState.PROCESSING


async def test_one_deploy_that_cannot_go_on_does_not_hold_up_the_next(
    bench: Bench, site: Site
) -> None:
    stuck = await bench.announce(site, FILES)
    await bench.store.deploys.delete_manifest(stuck.id)
    whole = await bench.processing(site, FILES)
    await Janitor(bench.desk).sweep()
    assert bench.events.subjects("janitor.failed") == [stuck.id]
    assert await bench.published_id(site) == whole.id


async def test_it_sweeps_again_and_again(
    bench: Bench, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    left: list[Deploy] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            raise asyncio.CancelledError
        left.append(await bench.processing(site, FILES))

    monkeypatch.setattr(bench.clock, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await Janitor(bench.desk).run_forever()
    assert slept == [EVERY_S, EVERY_S]
    assert await bench.published_id(site) == left[0].id


async def test_the_service_has_a_janitor(bench: Bench, mongodb_uri: str, tmp_path: Path) -> None:
    site = await bench.site()
    deploy = await bench.announce(site, FILES)
    objects = ObjectStore.open(str(tmp_path / "objects"))
    for data in FILES.values():
        await objects.put_blob(data, sha1_of(data))
    await bench.deploy_service(objects).finish(deploy.id)
    settings = Settings(
        mongodb_uri=mongodb_uri,
        database=bench.store.database.name,
        object_store=str(tmp_path / "objects"),
        pointer_log=tmp_path / "pointer-log",
    )
    async with control_service(settings), asyncio.timeout(PATIENCE_S):
        while await bench.published_id(site) != deploy.id:  # noqa: ASYNC110 - nothing tells us
            await asyncio.sleep(0.01)
