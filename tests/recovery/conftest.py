"""What tests of recovery share: a kept copy as a snapshot, and plans made, applied, taken back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bson
import pytest
from bson.raw_bson import RawBSONDocument

from blackstart.errors import BlackstartError
from blackstart.recovery.apply import Applier, Deeds, Pace, Report, Runs, SiteSteps
from blackstart.recovery.plan import Entry, Header, PlanFile, Planner, Wish
from blackstart.recovery.sources import AnnouncedSource, SnapshotSource, Source
from blackstart.recovery.undo import Undoer
from blackstart.recovery.verify import Affected, Standing, Verifier

if TYPE_CHECKING:
    from tests.conftest import Bench

PAGE = {"index.html": b"home", "about.html": b"about us"}


@dataclass
class Copy:
    """All deploys as they were at one moment, read like a snapshot; some may be unreadable."""

    taken_at: datetime
    documents: dict[str, dict[str, Any]]
    damaged: dict[str, BlackstartError] = field(default_factory=dict)
    broken: BlackstartError | None = None
    asked: list[str] = field(default_factory=list)

    def count(self, collection: str) -> int:
        return len(self.documents)

    async def get(self, collection: str, _id: Any) -> RawBSONDocument | None:
        self.asked.append(_id)
        if _id in self.damaged:
            raise self.damaged[_id]
        document = self.documents.get(_id)
        return None if document is None else RawBSONDocument(bson.encode(document))

    def source(self, name: str = "s1") -> SnapshotSource:
        async def opening() -> Copy:
            if self.broken is not None:
                raise self.broken
            return self

        return SnapshotSource(name, self.taken_at, opening)


@dataclass
class Recovery:
    """The tools, pointed at a bench; journals and plans lie in `folder`."""

    bench: Bench
    folder: Path
    plans: int = 0

    async def copy(self) -> Copy:
        """Keep all deploys as they are now."""
        raws = [raw async for raw in self.bench.store.deploys.scan_raw()]
        return Copy(self.bench.clock.now(), {raw["_id"]: raw for raw in raws})

    def announced(self) -> AnnouncedSource:
        return AnnouncedSource(self.bench.store, self.bench.objects)

    async def plan(
        self, *sources: Source, wish: Wish | None = None, **options: Any
    ) -> tuple[Path, Header]:
        """A new plan, in a file of its own."""
        self.plans += 1
        path = self.folder / f"plan-{self.plans}.json"
        planner = Planner(
            self.bench.store,
            self.bench.objects,
            sources,
            clock=self.bench.clock,
            seed=self.bench.seed,
            safeguards=self.bench.safeguards,
            **options,
        )
        return path, await planner.make(path, wish)

    async def entries(self, *sources: Source, **options: Any) -> dict[str, Entry]:
        """What is planned, by deploy."""
        path, _ = await self.plan(*sources, **options)
        with PlanFile(path) as plan:
            return {entry.deploy_id: entry for entry in plan.entries()}

    def applier(self, *, deeds: Deeds | None = None, runs: Runs | None = None) -> Applier:
        bench = self.bench
        return Applier(
            bench.store.database.name,
            deeds or Deeds(bench.store),
            SiteSteps(bench.store, bench.publisher, bench.builds),
            runs or self.runs(),
            clock=bench.clock,
            events=bench.events,
        )

    def runs(self) -> Runs:
        return Runs(self.folder / "runs")

    async def apply(self, path: Path, pace: Pace | None = None, **parts: Any) -> Report:
        with PlanFile(path) as plan:
            return await self.applier(**parts).apply(plan, pace)

    async def rehearse(self, path: Path) -> Report:
        with PlanFile(path) as plan:
            return await self.applier().rehearse(plan)

    def undoer(self, *, deeds: Deeds | None = None, runs: Runs | None = None) -> Undoer:
        bench = self.bench
        return Undoer(
            bench.store,
            deeds or Deeds(bench.store),
            bench.publisher,
            bench.builds,
            runs or self.runs(),
            clock=bench.clock,
        )

    async def verify(self, path: Path, **options: Any) -> dict[str, Standing]:
        with PlanFile(path) as plan:
            affected = [Affected.by_plan(entry) for entry in plan.entries()]
        verifier = Verifier(self.bench.store, self.bench.objects, **options)
        return {each.deploy_id: each async for each in verifier.verify(affected)}

    async def everything(self) -> dict[str, list[bytes]]:
        """Every document of the platform, byte for byte."""
        return {
            name: sorted([bson.encode(raw) async for raw in self.bench.store.database[name].find()])
            for name in ("sites", "deploys", "manifests", "builds")
        }


@pytest.fixture
def recovery(bench: Bench, tmp_path: Path) -> Recovery:
    folder = tmp_path / "recovery"
    folder.mkdir()
    return Recovery(bench, folder)


def outcomes(report: Report) -> dict[str, int]:
    """Those that there were."""
    return {outcome.value: count for outcome, count in report.tally.counts.items() if count}


Sources = Callable[[], Sequence[Source]]
