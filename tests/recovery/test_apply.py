"""Tests of applying: compare before set, in order, journaled, and a second run changes nothing."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from pymongo.errors import AutoReconnect
from tests.recovery.conftest import PAGE, Recovery, outcomes

from blackstart.errors import ConflictError, DatabaseError, StorageError, UsageError
from blackstart.model import BuildState, Deploy, Plan
from blackstart.recovery.apply import Deeds, Outcome, Pace
from blackstart.recovery.plan import PlanFile, Wish
from blackstart.recovery.sources import Route

if TYPE_CHECKING:
    from tests.conftest import Bench, Repository


@pytest.fixture
async def deploys(bench: Bench) -> list[Deploy]:
    """Twelve deploys of four sites."""
    made = []
    for name, plan in zip("defg", Plan, strict=True):
        site = await bench.site(name, plan=plan)
        made += [await bench.release(site, PAGE) for _ in range(3)]
    return made


async def broken_plan(bench: Bench, recovery: Recovery, deploys: list[Deploy]) -> Any:
    copy = await recovery.copy()
    for deploy in deploys:
        await bench.destroy(deploy.id)
    path, _ = await recovery.plan(copy.source())
    return path


@pytest.mark.parametrize("pace", [Pace(), Pace(batch=2), Pace(batch=5, at_once=1)])
async def test_everything_is_as_it_was_and_a_second_run_changes_nothing(
    bench: Bench, recovery: Recovery, deploys: list[Deploy], pace: Pace
) -> None:
    before = await recovery.everything()
    path = await broken_plan(bench, recovery, deploys[::2])
    report = await recovery.apply(path, pace)
    assert outcomes(report) == {"applied": 6}
    assert await recovery.everything() == before
    assert sorted(bench.events.subjects("deploy.restored")) == sorted(d.id for d in deploys[::2])
    again = await recovery.apply(path, pace)
    assert outcomes(again) == {"already": 6}
    assert again.run != report.run
    assert await recovery.everything() == before


async def test_a_rehearsal_tells_what_would_happen_and_changes_nothing(
    bench: Bench, recovery: Recovery, deploys: list[Deploy]
) -> None:
    path = await broken_plan(bench, recovery, deploys)
    await bench.destroy(deploys[0].id, {"by": "somebody else"})
    before = await recovery.everything()
    report = await recovery.rehearse(path)
    assert outcomes(report) == {"applied": 11, "changed": 1}
    assert await recovery.everything() == before
    assert not (recovery.folder / "runs").exists()


async def test_enterprise_sites_are_done_before_others_are_begun(
    bench: Bench, recovery: Recovery, deploys: list[Deploy]
) -> None:
    path = await broken_plan(bench, recovery, deploys)
    plans = {site.id: site.plan for site in await bench.store.sites.all()}
    sites = {deploy.id: deploy.site_id for deploy in deploys}
    await recovery.apply(path, Pace(batch=2, at_once=3))
    ranks = [plans[sites[each]].sla_rank for each in bench.events.subjects("deploy.restored")]
    assert ranks == sorted(ranks)


async def test_a_deploy_that_changed_since_the_plan_is_named_and_left_alone(
    bench: Bench, recovery: Recovery, deploys: list[Deploy]
) -> None:
    path = await broken_plan(bench, recovery, deploys)
    database = bench.store.database["deploys"]
    await bench.destroy(deploys[0].id, {"by": "somebody else"})
    await database.update_one({"_id": deploys[1].id}, {"$set": {"state": "error"}})
    await database.update_one({"_id": deploys[2].id}, {"$unset": {"metadata": ""}})
    await database.delete_one({"_id": deploys[3].id})
    before = {each.id: await bench.store.deploys.raw(each.id) for each in deploys[:4]}
    report = await recovery.apply(path)
    assert outcomes(report) == {"applied": 8, "changed": 3, "gone": 1}
    assert {name for name, _, _ in report.tally.named} == set(before)
    assert not report.tally.smooth
    assert {each: await bench.store.deploys.raw(each) for each in before} == before


async def test_who_changes_a_deploy_between_look_and_write_keeps_it(
    bench: Bench, recovery: Recovery, deploys: list[Deploy]
) -> None:
    path = await broken_plan(bench, recovery, deploys)

    class Raced(Deeds):
        async def swap(self, swaps: Any) -> Any:
            await bench.destroy(deploys[0].id, {"by": "somebody else"})
            await bench.store.database["deploys"].delete_one({"_id": deploys[1].id})
            return await super().swap(swaps)

    report = await recovery.apply(path, deeds=Raced(bench.store))
    assert outcomes(report) == {"applied": 10, "changed": 1, "gone": 1}
    assert (await bench.invalid(deploys[0].id)).raw["metadata"] == {"by": "somebody else"}


@pytest.mark.parametrize(
    "damage", [None, 7, "text", [], [7], {}, {"a": {"b": [1]}}, "gone altogether"], ids=str
)
async def test_metadata_comes_back_whatever_it_was_overwritten_with_and_so_does_the_damage(
    bench: Bench, recovery: Recovery, deploys: list[Deploy], damage: Any
) -> None:
    before = await recovery.everything()
    copy = await recovery.copy()
    if damage == "gone altogether":
        await bench.store.database["deploys"].update_one(
            {"_id": deploys[0].id}, {"$unset": {"metadata": ""}}
        )
    else:
        await bench.destroy(deploys[0].id, damage)
    broken = await recovery.everything()
    path, _ = await recovery.plan(copy.source())
    report = await recovery.apply(path)
    assert outcomes(report) == {"applied": 1}
    assert await recovery.everything() == before
    await recovery.undoer().undo(report.run)
    assert sorted(map(len, (await recovery.everything())["deploys"])) == sorted(
        map(len, broken["deploys"])
    )
    raw = await bench.store.deploys.raw(deploys[0].id)
    assert raw is not None
    assert raw.get("metadata", "gone altogether") == damage


async def test_a_plan_of_another_database_is_refused(
    bench: Bench, recovery: Recovery, deploys: list[Deploy]
) -> None:
    path = await broken_plan(bench, recovery, deploys)
    applier = recovery.applier()
    applier._database = "another"
    with PlanFile(path) as plan:
        for work in (applier.rehearse(plan), applier.apply(plan)):
            with pytest.raises(ConflictError, match="of database"):
                await work
    assert bench.events.subjects("deploy.restored") == []


async def test_two_cannot_apply_the_same_plan_at_once(
    bench: Bench, recovery: Recovery, deploys: list[Deploy]
) -> None:
    path = await broken_plan(bench, recovery, deploys)
    await recovery.apply(path)
    with PlanFile(path) as plan, recovery.runs().held(plan.header.id):
        with pytest.raises(ConflictError, match="another process"):
            await recovery.apply(path)
        with pytest.raises(ConflictError, match="another process"):
            await recovery.undoer().undo(f"{plan.header.id}.1")


async def test_each_change_is_on_the_disk_with_before_and_after_when_it_is_sent(
    bench: Bench, recovery: Recovery, deploys: list[Deploy]
) -> None:
    path = await broken_plan(bench, recovery, deploys)
    sent: list[str] = []

    class Watching(Deeds):
        async def swap(self, swaps: Any) -> Any:
            (file,) = (recovery.folder / "runs").glob("*.jsonl")
            lines = [json.loads(line) for line in file.read_text().splitlines()]
            changes = lines[-1]["changes"]
            assert [change["deploy"] for change in changes] == [s.deploy_id for s in swaps]
            assert all(c["before"]["metadata"] == {"migrated": True} for c in changes)
            assert all(len(c["after"]["metadata"]["tree"]) == 64 for c in changes)
            sent.extend(change["deploy"] for change in changes)
            return await super().swap(swaps)

    await recovery.apply(path, Pace(batch=5, at_once=1), deeds=Watching(bench.store))
    assert sorted(sent) == sorted(deploy.id for deploy in deploys)


async def test_a_rate_is_kept_on_the_clock(
    bench: Bench, recovery: Recovery, deploys: list[Deploy]
) -> None:
    path = await broken_plan(bench, recovery, deploys)
    began = bench.clock.time()
    await recovery.apply(path, Pace(per_second=2.0))
    assert bench.clock.time() - began == pytest.approx(5.5)  # The last of twelve.


@pytest.mark.parametrize("options", [{"batch": 0}, {"at_once": 0}, {"per_second": 0.0}])
def test_a_pace_that_leads_nowhere_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Pace(**options)


async def test_when_the_database_goes_away_the_run_stops_and_goes_on_later(
    bench: Bench, recovery: Recovery, deploys: list[Deploy]
) -> None:
    before = await recovery.everything()
    path = await broken_plan(bench, recovery, deploys)

    class Failing(Deeds):
        left = 2

        async def swap(self, swaps: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise AutoReconnect("connection closed")
            return await super().swap(swaps)

    with pytest.raises(DatabaseError, match="apply the same plan again"):
        await recovery.apply(path, Pace(batch=2, at_once=2), deeds=Failing(bench.store))
    assert 0 < len(bench.events.subjects("deploy.restored")) < 12
    report = await recovery.apply(path)
    assert report.resumed
    assert outcomes(report) == {"applied": 12}
    assert await recovery.everything() == before
    assert len(bench.events.subjects("deploy.restored")) <= 12


async def test_a_run_that_is_cancelled_writes_down_what_was_sent(
    bench: Bench, recovery: Recovery, deploys: list[Deploy]
) -> None:
    path = await broken_plan(bench, recovery, deploys)
    task: asyncio.Task[Any]

    class Stopping(Deeds):
        async def swap(self, swaps: Any) -> Any:
            task.cancel()
            return await super().swap(swaps)

    task = asyncio.create_task(
        recovery.apply(path, Pace(batch=2, at_once=2), deeds=Stopping(bench.store))
    )
    with pytest.raises(asyncio.CancelledError):
        await task
    with PlanFile(path) as plan:
        journal, record = recovery.runs().begin(plan.header.id, {})
    journal.close()
    assert record is not None
    assert record.in_doubt == set()
    assert set(record.outcomes.values()) == {Outcome.APPLIED}
    assert outcomes(await recovery.apply(path)) == {"applied": 12}


async def test_what_the_database_refuses_is_named_and_the_rest_is_done(
    bench: Bench, recovery: Recovery, deploys: list[Deploy]
) -> None:
    path = await broken_plan(bench, recovery, deploys)

    class Refusing(Deeds):
        async def swap(self, swaps: Any) -> Any:
            matched, _ = await super().swap(swaps[1:])
            return matched, {swaps[0].deploy_id: "Document failed validation"}

    report = await recovery.apply(path, deeds=Refusing(bench.store), pace=Pace(at_once=1))
    assert outcomes(report) == {"applied": 8, "failed": 4}
    assert {why for _, _, why in report.tally.named} == {"Document failed validation"}


async def test_a_journal_that_was_damaged_is_not_gone_on_with(
    bench: Bench, recovery: Recovery, deploys: list[Deploy]
) -> None:
    path = await broken_plan(bench, recovery, deploys)
    report = await recovery.apply(path, Pace(batch=2))
    file = recovery.folder / "runs" / f"{report.run}.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:3], b"X" + lines[3][1:], *lines[4:]]))
    with pytest.raises(StorageError, match="damaged in line 4"):
        await recovery.apply(path)
    with pytest.raises(StorageError, match="damaged in line 4"):
        await recovery.undoer().undo(report.run)


# --- Sites ---


async def test_a_revert_goes_through_the_publisher_and_is_done_once(
    bench: Bench, recovery: Recovery
) -> None:
    site = await bench.site()
    good, shown = [await bench.release(site, PAGE) for _ in range(2)]
    await bench.destroy(shown.id)
    path, _ = await recovery.plan()
    assert outcomes(await recovery.apply(path)) == {"applied": 1}
    assert await bench.published_id(site) == good.id
    assert bench.purges.tags
    assert outcomes(await recovery.apply(path)) == {"already": 1}
    assert len(bench.events.subjects("site.reverted")) == 1


async def test_a_site_that_shows_something_newer_by_now_is_not_reverted(
    bench: Bench, recovery: Recovery
) -> None:
    bench.safeguards.enable("tolerant-publish")
    site = await bench.site()
    _, shown = [await bench.release(site, PAGE) for _ in range(2)]
    await bench.destroy(shown.id)
    path, _ = await recovery.plan()
    newer = await bench.release(site, PAGE)
    report = await recovery.apply(path)
    assert outcomes(report) == {"changed": 1}
    assert newer.id in report.tally.named[0][2]
    assert await bench.published_id(site) == newer.id


async def test_a_site_that_is_published_at_the_very_moment_is_not_reverted(
    bench: Bench, recovery: Recovery
) -> None:
    bench.safeguards.enable("tolerant-publish")
    site = await bench.site()
    _, shown = [await bench.release(site, PAGE) for _ in range(2)]
    await bench.destroy(shown.id)
    path, _ = await recovery.plan()
    release, revert = bench.release, bench.publisher.revert
    newer: list[Deploy] = []

    class Raced:
        async def revert(self, *arguments: Any, **named: Any) -> None:
            newer.append(await release(site, PAGE))
            await revert(*arguments, **named)

    applier = recovery.applier()
    applier._steps._publisher = Raced()  # type: ignore[assignment]
    with PlanFile(path) as plan:
        assert outcomes(await applier.apply(plan)) == {"changed": 1}
    assert await bench.published_id(site) == newer[0].id


async def test_a_site_whose_deploy_came_back_by_itself_is_not_reverted(
    bench: Bench, recovery: Recovery
) -> None:
    site = await bench.site()
    _, shown = [await bench.release(site, PAGE) for _ in range(2)]
    await bench.destroy(shown.id)
    path, _ = await recovery.plan()
    await bench.store.database["deploys"].replace_one({"_id": shown.id}, shown.to_mongo())
    assert outcomes(await recovery.apply(path)) == {"changed": 1}
    assert await bench.published_id(site) == shown.id


async def test_a_rebuild_is_queued_once_however_often_it_is_planned_and_applied(
    bench: Bench, recovery: Recovery, repository: Repository
) -> None:
    bench.safeguards.enable("rebuild-by-commit")
    bench.safeguards.enable("tolerant-publish")
    site = await bench.site(repo=repository.repo)
    commit = repository.commit(PAGE)
    await bench.builds.start(site)
    assert await bench.worker().run_one()
    deploy_id = await bench.published_id(site) or ""
    repository.commit({"index.html": b"a newer one"})
    await bench.destroy(deploy_id)
    for expected in ({"applied": 1}, {"already": 1}, {"already": 1}):
        path, _ = await recovery.plan()
        assert outcomes(await recovery.apply(path)) == expected
    (build,) = await bench.store.builds.in_state(BuildState.QUEUED)
    assert (build.commit_ref, build.pinned) == (commit, True)
    assert (await recovery.verify(path))[deploy_id].state == "unknown"
    assert await bench.worker().run_one()
    assert (await recovery.verify(path))[deploy_id].state == "superseded"
    shown = await bench.deploy(await bench.published_id(site) or "")
    assert shown.commit_ref == commit


async def test_a_stuck_build_is_pushed_through_before_anything_is_built(
    bench: Bench, recovery: Recovery, repository: Repository
) -> None:
    site = await bench.site(repo=repository.repo)
    repository.commit(PAGE)
    await bench.builds.start(site)
    assert await bench.worker().run_one()
    deploy_id = await bench.published_id(site) or ""
    await bench.destroy(deploy_id)
    repository.commit({"index.html": b"a newer one"})
    stuck = await bench.builds.start(site)
    assert await bench.worker().run_one()
    assert (await bench.build(stuck)).state is BuildState.STUCK
    path, header = await recovery.plan(wish=Wish(routes=[Route.PUSH, Route.REBUILD]))
    assert header.routes == {"push": 1}
    assert outcomes(await recovery.apply(path)) == {"applied": 1}
    assert (await bench.build(stuck)).state is BuildState.DONE
    assert await bench.published_id(site) == (await bench.build(stuck)).deploy_id
    assert outcomes(await recovery.apply(path)) == {"already": 1}
