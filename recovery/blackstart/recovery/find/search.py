"""The search for what is broken: one pass over all deploys, in bounded memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime

from blackstart.model import (
    Deploy,
    DeployState,
    InvalidBuild,
    InvalidDeploy,
    parse_build,
    parse_deploy,
)
from blackstart.recovery.exact import collection
from blackstart.recovery.find.files import FileCheck, TreeState
from blackstart.recovery.find.findings import (
    BrokenBuild,
    BrokenDeploy,
    Finding,
    MissingFiles,
    NotJudged,
)
from blackstart.recovery.find.responses import of_build as failing_of_build
from blackstart.recovery.find.responses import of_deploy as failing_of_deploy
from blackstart.recovery.find.responses import of_sites as failing_of_sites
from blackstart.recovery.find.sites import BATCH, SiteNotes
from blackstart.store import MetadataStore, ObjectStore

Progress = Callable[[int], None]


def nobody_watches(done: int) -> None:
    """Progress that nobody wants to see."""


@dataclass(frozen=True)
class Look:
    """What to look at. `deep` reads and hashes every blob; `since` spares the files of older
    deploys; `responses` tells the requests that fail."""

    files: bool = True
    deep: bool = False
    since: datetime | None = None
    responses: bool = True


ALL = Look()


async def find(
    store: MetadataStore,
    objects: ObjectStore,
    look: Look = ALL,
    *,
    progress: Progress = nobody_watches,
) -> AsyncIterator[Finding]:
    """What is broken, as it is found: deploys in `_id` order, then sites in SLA order, then lists.

    Of a deploy only its number is kept. `progress` is told how many deploys have passed.
    Raises: PyMongoError when the database fails.
    """
    notes = await SiteNotes.read(store)
    for invalid in notes.invalid:
        yield invalid
    async for finding in _Pass(objects, notes, look).over(store, progress):
        yield finding
    builds: dict[str, str] = {}
    async for build in _invalid_builds(store):
        yield build
        builds[build.site_id] = build.build_id
        if look.responses:
            for response in failing_of_build(build.build_id):
                yield response
    for site in notes.hit():
        yield site
    if look.responses:
        for response in failing_of_sites(notes, builds):
            yield response


class _Pass:
    """The one pass over the deploys."""

    def __init__(self, objects: ObjectStore, notes: SiteNotes, look: Look) -> None:
        self._files = FileCheck(objects, deep=look.deep)
        self._notes = notes
        self._look = look

    async def over(self, store: MetadataStore, progress: Progress) -> AsyncIterator[Finding]:
        done = 0
        batch: list[Deploy] = []
        # In batches of documents, not of 16 MB: decoded, those would take ten times as much.
        cursor = collection(store, "deploys").find().sort("_id", 1).batch_size(BATCH)
        async for raw in cursor:
            deploy = parse_deploy(raw)
            self._notes.of(deploy.site_id).saw(deploy.number)
            if isinstance(deploy, InvalidDeploy):
                for finding in self._broken(deploy):
                    yield finding
            elif self._has_files(deploy):
                batch.append(deploy)
            done += 1
            if done % BATCH == 0:
                progress(done)
            if len(batch) == BATCH:
                async for missing in self._missing(batch):
                    yield missing
                batch = []
        async for missing in self._missing(batch):
            yield missing
        progress(done)

    def _broken(self, deploy: InvalidDeploy) -> list[Finding]:
        note = self._notes.of(deploy.site_id)
        note.saw_broken(deploy)
        found: list[Finding] = [
            BrokenDeploy(
                deploy.id,
                deploy.site_id,
                note.name,
                note.plan,
                deploy.number,
                deploy.state,
                deploy.id == note.shown,
                deploy.reason,
            )
        ]
        return found + (list(failing_of_deploy(note, deploy.id)) if self._look.responses else [])

    def _has_files(self, deploy: Deploy) -> bool:
        recent = self._look.since is None or deploy.created_at >= self._look.since
        return (
            self._look.files
            and recent
            and deploy.state is DeployState.READY
            and deploy.metadata.tree is not None
        )

    async def _missing(self, deploys: list[Deploy]) -> AsyncIterator[MissingFiles | NotJudged]:
        states = await self._files.trees(deploy.metadata.tree or "" for deploy in deploys)
        for deploy in deploys:
            state = states[deploy.metadata.tree or ""]
            if not state.whole:
                yield self._note(deploy, state)

    def _note(self, deploy: Deploy, state: TreeState) -> MissingFiles | NotJudged:
        if state.unjudged:
            return NotJudged(deploy.site_id, deploy.id, state.unjudged)
        self._notes.of(deploy.site_id).missing_files += 1
        unreadable = bool(state.unreadable)
        return MissingFiles(deploy.site_id, deploy.id, state.missing, tree_unreadable=unreadable)


async def _invalid_builds(store: MetadataStore) -> AsyncIterator[BrokenBuild]:
    async for raw in collection(store, "builds").find().batch_size(BATCH):
        build = parse_build(raw)
        if isinstance(build, InvalidBuild):
            yield BrokenBuild(build.id, build.site_id, build.reason)
