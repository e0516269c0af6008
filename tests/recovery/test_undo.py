"""Tests of taking a run back: exactly what it changed, and nothing that changed since."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pymongo.errors import AutoReconnect
from tests.recovery.conftest import PAGE, Recovery, outcomes

from blackstart.errors import ConflictError, DatabaseError, NotFoundError
from blackstart.model import BuildState, Deploy, Site
from blackstart.recovery.apply import Deeds
from blackstart.store import MetadataStore

if TYPE_CHECKING:
    from tests.conftest import Bench, Repository


@pytest.fixture
async def site(bench: Bench) -> Site:
    return await bench.site()


@pytest.fixture
async def deploys(bench: Bench, site: Site) -> list[Deploy]:
    return [await bench.release(site, PAGE) for _ in range(6)]


async def test_a_run_is_taken_back_to_the_byte_and_can_be_done_again(
    bench: Bench, recovery: Recovery, site: Site, deploys: list[Deploy]
) -> None:
    copy = await recovery.copy()
    shown = await bench.release(site, PAGE)
    for number, deploy in enumerate([*deploys[1:], shown]):
        await bench.destroy(deploy.id, {"n": number, "x": [None, 1.5]})
    broken = await recovery.everything()
    path, header = await recovery.plan(copy.source())
    assert header.routes == {"snapshot": 5, "revert": 1}
    report = await recovery.apply(path)
    back = await recovery.everything()
    taken = await recovery.undoer().undo(report.run)
    assert outcomes(taken) == {"applied": 6}
    assert await recovery.everything() == broken
    assert outcomes(await recovery.undoer().undo(report.run)) == {}
    assert await recovery.everything() == broken
    again = await recovery.apply(path)
    assert outcomes(again) == {"applied": 6}
    assert await recovery.everything() == back


async def test_to_look_first_changes_nothing(
    bench: Bench, recovery: Recovery, deploys: list[Deploy]
) -> None:
    copy = await recovery.copy()
    await bench.destroy(deploys[0].id)
    path, _ = await recovery.plan(copy.source())
    report = await recovery.apply(path)
    before = await recovery.everything()
    assert outcomes(await recovery.undoer().undo(report.run, dry=True)) == {"applied": 1}
    assert await recovery.everything() == before
    assert outcomes(await recovery.undoer().undo(report.run)) == {"applied": 1}


async def test_what_changed_since_the_run_stays_as_it_is(
    bench: Bench, recovery: Recovery, deploys: list[Deploy]
) -> None:
    copy = await recovery.copy()
    for deploy in deploys[:3]:
        await bench.destroy(deploy.id)
    path, _ = await recovery.plan(copy.source())
    report = await recovery.apply(path)
    await bench.destroy(deploys[0].id, {"by": "somebody else"})
    await bench.store.database["deploys"].delete_one({"_id": deploys[1].id})
    assert outcomes(await recovery.undoer().undo(report.run)) == {
        "applied": 1,
        "changed": 1,
        "gone": 1,
    }
    assert (await bench.invalid(deploys[0].id)).raw["metadata"] == {"by": "somebody else"}


async def test_what_the_run_found_done_already_is_not_its_to_take_back(
    bench: Bench, recovery: Recovery, deploys: list[Deploy]
) -> None:
    copy = await recovery.copy()
    for deploy in deploys[:2]:
        await bench.destroy(deploy.id)
    path, _ = await recovery.plan(copy.source())
    await bench.store.database["deploys"].replace_one(
        {"_id": deploys[0].id}, copy.documents[deploys[0].id]
    )
    report = await recovery.apply(path)
    assert outcomes(report) == {"applied": 1, "already": 1}
    assert outcomes(await recovery.undoer().undo(report.run)) == {"applied": 1}
    assert await bench.deploy(deploys[0].id) == deploys[0]


async def test_a_site_that_was_published_since_stays_at_its_new_deploy(
    bench: Bench, recovery: Recovery, site: Site, deploys: list[Deploy]
) -> None:
    bench.safeguards.enable("tolerant-publish")
    await bench.destroy(deploys[-1].id)
    path, _ = await recovery.plan()
    report = await recovery.apply(path)
    newer = await bench.release(site, PAGE)
    assert outcomes(await recovery.undoer().undo(report.run)) == {"changed": 1}
    assert await bench.published_id(site) == newer.id


async def test_a_rebuild_is_called_off_unless_it_has_ended(
    bench: Bench, recovery: Recovery, repository: Repository
) -> None:
    bench.safeguards.enable("tolerant-publish")
    site = await bench.site("built", repo=repository.repo)
    repository.commit(PAGE)
    await bench.builds.start(site)
    assert await bench.worker().run_one()
    await bench.destroy(await bench.published_id(site) or "")
    path, _ = await recovery.plan()
    report = await recovery.apply(path)
    assert outcomes(await recovery.undoer().undo(report.run)) == {"applied": 1}
    assert await bench.store.builds.in_state(BuildState.QUEUED) == []
    path, _ = await recovery.plan()
    report = await recovery.apply(path)
    assert outcomes(report) == {"applied": 1}
    assert await bench.worker().run_one()
    taken = await recovery.undoer().undo(report.run)
    assert outcomes(taken) == {"changed": 1}
    assert "has ended" in taken.tally.named[0][2]


async def test_an_undo_that_was_stopped_goes_on_and_a_run_being_undone_is_not_gone_on_with(
    bench: Bench, recovery: Recovery, deploys: list[Deploy]
) -> None:
    copy = await recovery.copy()
    for deploy in deploys:
        await bench.destroy(deploy.id)
    broken = await recovery.everything()
    path, _ = await recovery.plan(copy.source())
    report = await recovery.apply(path)

    class Away(Deeds):
        async def swap(self, swaps: Any) -> Any:
            await super().swap(swaps[:2])
            raise AutoReconnect("connection closed")

    with pytest.raises(DatabaseError, match="undo the same run again"):
        await recovery.undoer(deeds=Away(bench.store)).undo(report.run)
    taken = await recovery.undoer().undo(report.run)
    assert taken.resumed
    assert outcomes(taken) == {"applied": 4, "already": 2}
    assert await recovery.everything() == broken


async def test_what_could_not_be_taken_back_is_tried_again(
    bench: Bench, recovery: Recovery, deploys: list[Deploy], monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = await recovery.copy()
    await bench.destroy(deploys[0].id)
    broken = await recovery.everything()
    path, _ = await recovery.plan(copy.source())
    report = await recovery.apply(path)
    swap = Deeds.swap

    async def refusing(self: Deeds, swaps: Any) -> tuple[int, dict[str, str]]:
        return 0, {each.deploy_id: "Document failed validation" for each in swaps}

    monkeypatch.setattr(Deeds, "swap", refusing)
    assert outcomes(await recovery.undoer().undo(report.run)) == {"failed": 1}
    monkeypatch.setattr(Deeds, "swap", swap)
    assert outcomes(await recovery.undoer().undo(report.run)) == {"applied": 1}
    assert await recovery.everything() == broken
    assert outcomes(await recovery.undoer().undo(report.run)) == {}


async def test_an_unknown_run_is_named_with_those_there_are(
    bench: Bench, recovery: Recovery, deploys: list[Deploy]
) -> None:
    with pytest.raises(NotFoundError, match=r"no run 'p\.1'"):
        await recovery.undoer().undo("p.1")
    copy = await recovery.copy()
    await bench.destroy(deploys[0].id)
    path, _ = await recovery.plan(copy.source())
    report = await recovery.apply(path)
    with pytest.raises(NotFoundError, match=report.run):
        await recovery.undoer().undo("p.1")


async def test_a_run_of_another_database_is_refused(
    bench: Bench, recovery: Recovery, deploys: list[Deploy]
) -> None:
    copy = await recovery.copy()
    await bench.destroy(deploys[0].id)
    path, _ = await recovery.plan(copy.source())
    report = await recovery.apply(path)
    undoer = recovery.undoer()
    undoer._store = MetadataStore(bench.store.database.client["another"])
    with pytest.raises(ConflictError, match="was in database"):
        await undoer.undo(report.run)
