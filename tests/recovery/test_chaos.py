"""Chaos: a run and its undoing crash at any touch of the world, and are taken up again.

No double effect, no healthy document changed, nothing of others overwritten,
and the undoing is exact. A failure prints the seed that repeats it.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

import bson
import pytest
from tests.recovery.conftest import PAGE, Recovery
from tests.recovery.crashes import Crash, Crashing, CrashingDeeds, CrashingDisk, Fate

from blackstart.errors import NotFoundError
from blackstart.model import BuildState, Deploy, Plan, Repo, Site
from blackstart.recovery.apply import Applier, Outcome, Pace, Runs, SiteSteps
from blackstart.recovery.plan import PlanFile
from blackstart.recovery.undo import Undoer
from blackstart.seed import Seed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Bench

SEEDS = range(1, 1 + int(os.environ.get("BLACKSTART_SWEEP", "60")))
NEVER = 1_000_000
Documents = dict[str, dict[str, Any]]


@dataclass
class Story:
    """One broken fleet, a plan for it, and what others did to it meanwhile."""

    bench: Bench
    recovery: Recovery
    random: Random
    disk: CrashingDisk = field(default_factory=CrashingDisk)
    foreign: Documents = field(default_factory=dict)
    foreign_sites: dict[str, str] = field(default_factory=dict)
    healthy: Documents = field(default_factory=dict)
    broken: Documents = field(default_factory=dict)
    planned: Documents = field(default_factory=dict)
    sites_before: Documents = field(default_factory=dict)
    path: Path | None = None
    run: str = ""
    crashes: int = 0

    async def begin(self) -> None:
        """Sites with a way back of each kind: snapshot, revert and rebuild."""
        bench = self.bench
        bench.safeguards.enable("rebuild-by-commit")
        deploys: list[Deploy] = []
        for number, plan in enumerate([*Plan, *Plan]):
            repo = Repo(url="/srv/x.git", branch="main") if number == 5 else None
            site = await bench.site(f"site-{number}", plan=plan, repo=repo)
            deploys += [await self._insert(site, each + 1) for each in range(4)]
        copy = await self.recovery.copy()
        for deploy in deploys:
            if deploy.number == 4 and self.random.random() < 0.5:
                del copy.documents[deploy.id]
        damaged = [deploy for deploy in deploys if deploy.number == 4 or self.random.random() < 0.4]
        for deploy in damaged:
            await bench.destroy(deploy.id, {"migrated": deploy.number})
        damaged_ids = {deploy.id for deploy in damaged}
        now = await self._documents("deploys")
        self.broken = {key: raw for key, raw in now.items() if key in damaged_ids}
        self.healthy = {key: raw for key, raw in now.items() if key not in damaged_ids}
        self.sites_before = await self._documents("sites")
        self.path, _ = await self.recovery.plan(copy.source())
        with PlanFile(self.path) as plan:
            self.planned = {
                entry.deploy_id: entry.after for entry in plan.entries() if entry.route.restores
            }
            self.run = f"{plan.header.id}.1"

    async def _insert(self, site: Site, number: int) -> Deploy:
        """Straight into the database: what matters here comes later."""
        if number > 1:
            first = await self.bench.store.deploys.of_site(site.id)
            known = first[-1]
            assert isinstance(known, Deploy)
            update = {"id": self.bench.seed.new_id(), "number": number, "commit_ref": "c" * 40}
            deploy = known.model_copy(update=update)
            await self.bench.store.deploys.insert(deploy)
            await self.bench.store.database["sites"].update_one(
                {"_id": site.id},
                {"$set": {"published_deploy_id": deploy.id, "newest_published": number}},
            )
            return deploy
        return await self.bench.release(site, PAGE)

    async def _documents(self, name: str) -> Documents:
        return {raw["_id"]: raw async for raw in self.bench.store.database[name].find()}

    async def meddle(self) -> None:
        """Now and then somebody else changes a broken deploy, or what a site shows."""
        if self.random.random() < 0.06:
            key = self.random.choice(sorted(self.broken))
            raw = {**self.broken[key], "metadata": {"by": f"somebody {self.random.random()}"}}
            await self.bench.store.database["deploys"].replace_one({"_id": key}, raw)
            self.foreign[key] = raw
        if self.random.random() < 0.02:
            key = self.random.choice(sorted(self.sites_before))
            shown = self.random.choice(
                sorted(d for d, raw in self.healthy.items() if raw["site_id"] == key) or ["x"]
            )
            await self.bench.store.database["sites"].update_one(
                {"_id": key}, {"$set": {"published_deploy_id": shown}}
            )
            self.foreign_sites[key] = shown

    def parts(self, fate: Fate) -> tuple[Applier, Undoer]:
        self.disk.fate = fate
        bench, runs = self.bench, Runs(self.recovery.folder / "runs", self.disk)
        publisher, builds = Crashing(bench.publisher, fate), Crashing(bench.builds, fate)
        deeds = CrashingDeeds(bench.store, fate)
        name = bench.store.database.name
        steps = SiteSteps(bench.store, publisher, builds)
        return (
            Applier(name, deeds, steps, runs, clock=bench.clock, events=bench.events),
            Undoer(bench.store, deeds, publisher, builds, runs, clock=bench.clock),
        )

    async def until_done(self, act: Any, pace: Pace, *, longest: int) -> Any:
        """Crash, restart, go on; from the tenth time on nothing crashes."""
        for attempt in range(30):
            left = self.random.randint(0, longest) if attempt < 10 else NEVER
            fate = Fate(self.random, left, meddle=self.meddle)
            try:
                return await act(*self.parts(fate), pace)
            except Crash:
                self.crashes += 1
                await _quiet()
                self.disk.restart(self.random)
        raise AssertionError("it never came to its end")

    async def crash_once(self, act: Any, pace: Pace, *, longest: int) -> bool:
        """Whether it came to its end before the crash."""
        try:
            left = self.random.randint(0, longest)
            await act(*self.parts(Fate(self.random, left, meddle=self.meddle)), pace)
        except Crash:
            await _quiet()
            self.disk.restart(self.random)
            return False
        return True

    async def apply(self, applier: Applier, undoer: Undoer, pace: Pace) -> Any:
        assert self.path is not None
        with PlanFile(self.path) as plan:
            return await applier.apply(plan, pace)

    async def undo(self, applier: Applier, undoer: Undoer, pace: Pace) -> Any:
        return await undoer.undo(self.run)


async def _quiet() -> None:
    """Whatever the dead process had under way comes to nothing."""
    mine = asyncio.current_task()
    others = [task for task in asyncio.all_tasks() if task is not mine and _is_batch(task)]
    await asyncio.gather(*others, return_exceptions=True)


def _is_batch(task: asyncio.Task[Any]) -> bool:
    return "_deal_with" in repr(task.get_coro())


def wrong(expected: Documents, found: Documents) -> list[str]:
    """Which documents are not, byte for byte, what they should be."""
    return [key for key, raw in expected.items() if bson.encode(found[key]) != bson.encode(raw)]


@pytest.mark.parametrize(
    "seed", [s if s < 13 else pytest.param(s, marks=pytest.mark.slow) for s in SEEDS]
)
async def test_a_run_that_crashes_anywhere_ends_as_one_that_never_did(
    bench: Bench, recovery: Recovery, seed: int
) -> None:
    random = Seed(seed).fork("chaos").random
    story = Story(bench, recovery, random)
    await story.begin()
    pace = Pace(batch=random.randint(1, 6), at_once=random.randint(1, 3))

    report = await story.until_done(story.apply, pace, longest=60)
    # A crash right behind the end of a run is followed by another, which finds nothing to do.
    assert report.run.rpartition(".")[0] == story.run.rpartition(".")[0]
    now = await story._documents("deploys")
    restored = {key: {**story.broken[key], **after} for key, after in story.planned.items()}
    assert wrong(story.healthy, now) == []
    assert wrong(story.foreign, now) == []
    assert wrong(restored, now) == sorted_like(restored, story.foreign)
    assert (
        len(bench.events.subjects("build.queued"))
        == len(set(bench.events.subjects("build.queued")))
        == len(await story._documents("builds"))
    )
    reverted = bench.events.subjects("site.reverted")
    assert len(reverted) - len(story.foreign_sites) <= len(set(reverted))
    await check_sites(story)

    foreign = dict(story.foreign)
    taken = await story.until_done(story.undo, pace, longest=40)
    assert taken.run == story.run
    final = await story._documents("deploys")
    assert wrong(story.healthy, final) == []
    assert wrong(story.foreign, final) == []
    assert wrong(story.broken, final) == sorted_like(story.broken, story.foreign | foreign)
    queued = await bench.store.builds.in_state(BuildState.QUEUED)
    assert queued == [] or story.foreign or story.foreign_sites


@pytest.mark.parametrize(
    "seed", [s if s < 13 else pytest.param(s, marks=pytest.mark.slow) for s in SEEDS]
)
async def test_a_run_that_was_never_finished_is_taken_back_exactly(
    bench: Bench, recovery: Recovery, seed: int
) -> None:
    random = Seed(seed).fork("unfinished").random
    story = Story(bench, recovery, random)
    await story.begin()
    pace = Pace(batch=random.randint(1, 6), at_once=random.randint(1, 3))
    for _ in range(random.randint(1, 3)):
        if await story.crash_once(story.apply, pace, longest=50):
            break
    try:
        await story.until_done(story.undo, pace, longest=40)
    except NotFoundError:
        # The crash came before the first line of its journal.
        assert bench.events.subjects("deploy.restored") == []
    final = await story._documents("deploys")
    assert wrong(story.healthy, final) == []
    assert wrong(story.foreign, final) == []
    assert wrong(story.broken, final) == sorted_like(story.broken, story.foreign)


def sorted_like(documents: Documents, foreign: Documents) -> list[str]:
    """Those of the documents that somebody else has changed, in the documents' order."""
    return [key for key in documents if key in foreign]


async def check_sites(story: Story) -> None:
    """Every site shows what it did, what was planned, or what somebody else chose."""
    sites = await story._documents("sites")
    assert story.path is not None
    with PlanFile(story.path) as plan:
        targets = {
            entry.site_id: entry.after["published_deploy_id"]
            for entry in plan.entries()
            if "published_deploy_id" in entry.after
        }
    for key, before in story.sites_before.items():
        allowed = {targets.get(key, before["published_deploy_id"])}
        if key in story.foreign_sites:
            allowed |= {story.foreign_sites[key]}
        if any(story.broken[each]["site_id"] == key for each in story.foreign):
            allowed |= {before["published_deploy_id"]}
        assert sites[key]["published_deploy_id"] in allowed


async def test_a_crash_at_every_single_touch_is_survived(bench: Bench, recovery: Recovery) -> None:
    """One crash at the first touch, then at the second, and so on to the last."""
    random = Seed(7).fork("every touch").random
    story = Story(bench, recovery, random)
    await story.begin()
    for attempt in range(1_000):
        fate = Fate(random, attempt)
        try:
            report = await story.apply(*story.parts(fate), Pace(batch=4, at_once=1))
        except Crash:
            story.disk.restart(random)
        else:
            break
    else:
        raise AssertionError("it never came to its end")
    assert attempt > 10
    now = await story._documents("deploys")
    assert wrong(story.healthy, now) == []
    expected = {key: {**story.broken[key], **after} for key, after in story.planned.items()}
    assert wrong(expected, now) == []
    steps = report.tally.total - len(story.planned)
    assert report.tally.counts[Outcome.APPLIED] + report.tally.counts[Outcome.NO_ROUTE] == (
        len(story.planned) + steps
    )
