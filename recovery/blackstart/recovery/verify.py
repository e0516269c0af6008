"""What became of each affected deploy: restored, superseded, reverted, lost, or nobody can tell."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any

from blackstart.model import BuildState, Deploy, DeployState, InvalidDeploy, parse_deploy
from blackstart.recovery.apply.deeds import METADATA
from blackstart.recovery.exact import collection, same
from blackstart.recovery.find import FileCheck, Progress, SiteNotes, TreeState, nobody_watches
from blackstart.recovery.plan import Entry
from blackstart.recovery.sources import Route
from blackstart.store import MetadataStore, ObjectStore

BATCH = 500
_UNDER_WAY = [BuildState.QUEUED, BuildState.RUNNING, BuildState.STUCK]


class State(StrEnum):
    """How an affected deploy stands.

    `restored`: it is valid, with all its files. `superseded` and `reverted`:
    it is still broken, but its site shows a good deploy that is newer, or
    older. `lost`: neither. `unknown`: it could not be told, or cannot yet.
    """

    RESTORED = "restored"
    SUPERSEDED = "superseded"
    REVERTED = "reverted"
    LOST = "lost"
    UNKNOWN = "unknown"

    @property
    def dealt_with(self) -> bool:
        return self not in (State.LOST, State.UNKNOWN)


@dataclass(frozen=True)
class Affected:
    """A deploy to be judged, and what was planned for it, if anything was."""

    deploy_id: str
    site_id: str
    number: int
    entry: Entry | None = None

    @classmethod
    def by_plan(cls, entry: Entry) -> Affected:
        return cls(entry.deploy_id, entry.site_id, entry.number, entry)


@dataclass(frozen=True)
class Standing:
    """How one affected deploy stands, and why it is said so."""

    deploy_id: str
    site_id: str
    site: str
    plan: str
    number: int
    state: State
    why: str


class Verifier:
    """Judges by the database and the object store alone, whoever did what."""

    def __init__(self, store: MetadataStore, objects: ObjectStore, *, deep: bool = False) -> None:
        self._store = store
        self._deploys = collection(store, "deploys")
        self._builds = collection(store, "builds")
        self._files = FileCheck(objects, deep=deep)

    async def verify(
        self, affected: Iterable[Affected], *, progress: Progress = nobody_watches
    ) -> AsyncIterator[Standing]:
        """Each affected deploy's standing, in their order. Raises: PyMongoError."""
        notes = await SiteNotes.read(self._store)
        waiting, done = iter(affected), 0
        while batch := list(islice(waiting, BATCH)):
            look = await self._look(batch, notes)
            for each in batch:
                state, why = look.judge(each)
                note = notes.of(each.site_id)
                yield Standing(
                    each.deploy_id, each.site_id, note.name, note.plan, each.number, state, why
                )
            done += len(batch)
            progress(done)

    async def _look(self, batch: list[Affected], notes: SiteNotes) -> _Look:
        shown = {each.site_id: notes.of(each.site_id).shown for each in batch}
        ids = {each.deploy_id for each in batch} | {key for key in shown.values() if key}
        raws = await self._read(sorted(ids))
        deploys = {key: parse_deploy(raw) for key, raw in raws.items()}
        trees = await self._files.trees(
            deploy.metadata.tree
            for deploy in deploys.values()
            if isinstance(deploy, Deploy) and deploy.metadata.tree is not None
        )
        return _Look(raws, deploys, shown, trees, await self._under_way(sorted(shown)))

    async def _read(self, ids: list[str]) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for start in range(0, len(ids), 100):
            query = {"_id": {"$in": ids[start : start + 100]}}
            async for raw in self._deploys.find(query):
                found[str(raw["_id"])] = raw
        return found

    async def _under_way(self, site_ids: list[str]) -> dict[str, str]:
        """Site -> a build of it that has not come to its end."""
        found: dict[str, str] = {}
        for start in range(0, len(site_ids), 100):
            query = {
                "site_id": {"$in": site_ids[start : start + 100]},
                "state": {"$in": _UNDER_WAY},
            }
            async for raw in self._builds.find(query, {"site_id": 1, "state": 1}).sort("_id", 1):
                found[str(raw["site_id"])] = f"build {raw['_id']} is {raw['state']}"
        return found


@dataclass(frozen=True)
class _Look:
    """What there is about one batch."""

    raws: dict[str, dict[str, Any]]
    deploys: dict[str, Deploy | InvalidDeploy]
    shown: dict[str, str | None]
    trees: dict[str, TreeState]
    under_way: dict[str, str]

    def judge(self, affected: Affected) -> tuple[State, str]:
        deploy = self.deploys.get(affected.deploy_id)
        if isinstance(deploy, Deploy):
            trouble = self._trouble(deploy)
            if trouble is None:
                return State.RESTORED, self._how_exact(affected)
            if trouble[0] is State.UNKNOWN:
                return trouble
            return self._by_site(affected, trouble[1])
        gone = "its document is gone" if deploy is None else f"still broken: {deploy.reason}"
        return self._by_site(affected, gone)

    def _by_site(self, affected: Affected, trouble: str) -> tuple[State, str]:
        shown = self.deploys.get(self.shown.get(affected.site_id) or "")
        if isinstance(shown, Deploy) and shown.id != affected.deploy_id:
            other = self._trouble(shown)
            if other is None:
                newer = shown.number > affected.number
                state = State.SUPERSEDED if newer else State.REVERTED
                return state, f"its site shows deploy #{shown.number}; {trouble}"
            if other[0] is State.UNKNOWN:
                return other
        if affected.site_id in self.under_way:
            return State.UNKNOWN, f"{self.under_way[affected.site_id]}; {trouble}"
        return State.LOST, f"{trouble}; {self._next(affected)}"

    def _next(self, affected: Affected) -> str:
        if affected.entry is None:
            return "its site shows nothing good"
        if affected.entry.route is Route.NONE:
            return "; ".join(affected.entry.refused) or "no source has it"
        return f"its way back, by {affected.entry.route}, was not taken or did not lead there"

    def _trouble(self, deploy: Deploy) -> tuple[State, str] | None:
        """What is wrong with the files of a valid deploy."""
        if deploy.state is not DeployState.READY or deploy.metadata.tree is None:
            return None
        tree = self.trees[deploy.metadata.tree]
        if tree.unjudged:
            return State.UNKNOWN, tree.unjudged
        if tree.unreadable:
            return State.LOST, tree.unreadable
        if tree.missing:
            return State.LOST, f"{len(tree.missing)} of its files are not there"
        return None

    def _how_exact(self, affected: Affected) -> str:
        entry = affected.entry
        if entry is None or not entry.route.restores:
            return ""
        there = self.raws[affected.deploy_id]
        if not same({METADATA: there[METADATA]}, entry.after):
            return "with other metadata than was planned"
        return f"inferred: {', '.join(entry.inferred)}" if entry.inferred else ""
