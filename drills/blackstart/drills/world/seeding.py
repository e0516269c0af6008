"""Puts a planned fleet's past into MongoDB and the object store, in bulk.

A drill's day runs through the services; its ninety days before are written
here at once. A test holds both to the same result: what the builder makes of
a commit is what is written here for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from blackstart.builder.git import read_blobs
from blackstart.drills.world.fleet import HISTORY_DAYS, Fleet, FleetSite
from blackstart.drills.world.repositories import BRANCH
from blackstart.model import (
    Deploy,
    DeployState,
    Manifest,
    ManifestFile,
    Metadata,
    Repo,
    Site,
    Tree,
    TreeEntry,
    TreeOf,
)
from blackstart.seed import Seed
from blackstart.store import MetadataStore, ObjectStore
from blackstart.store.pointers import PointerLog, PointerRecord

BATCH = 1_000


async def seed_fleet(
    fleet: Fleet,
    store: MetadataStore,
    objects: ObjectStore,
    *,
    start: datetime,
    seed: Seed,
    pointers: PointerLog | None = None,
    describe_trees: bool = False,
) -> None:
    """Write sites, deploys, manifests, trees and blobs as they were at `start`.

    With a pointer log, what it would hold by then; and trees that say whose
    they are, when they are to.
    """
    ids = seed.fork("seeding")
    sites: list[Site] = []
    deploys: list[Deploy] = []
    manifests: list[Manifest] = []
    for planned in fleet.sites:
        site_id = ids.new_id()
        first = len(deploys)
        past = await _past(planned, site_id, objects, start, ids, describe_trees=describe_trees)
        for deploy, manifest in past:
            deploys.append(deploy)
            manifests.append(manifest)
        if pointers is not None:
            await _log(pointers, deploys[first:])
        sites.append(
            Site(
                id=site_id,
                name=planned.name,
                plan=planned.plan,
                repo=Repo(url=str(planned.repository), branch=BRANCH),
                published_deploy_id=deploys[first + planned.published].id,
                newest_published=deploys[-1].number,
                created_at=start - timedelta(days=HISTORY_DAYS + 1),
            )
        )
        if len(deploys) >= BATCH:
            await store.deploys.insert_many(deploys, manifests)
            deploys, manifests = [], []
    if deploys:
        await store.deploys.insert_many(deploys, manifests)
    await store.sites.insert_many(sites)


async def _past(
    planned: FleetSite,
    site_id: str,
    objects: ObjectStore,
    start: datetime,
    ids: Seed,
    *,
    describe_trees: bool,
) -> list[tuple[Deploy, Manifest]]:
    files: dict[str, ManifestFile] = {}
    past = []
    ages = sorted(
        (ids.random.uniform(0.02, HISTORY_DAYS) for _ in range(planned.deployed)), reverse=True
    )
    for index, age_days in enumerate(ages):
        changed = dict(_changed(planned, index))
        if planned.user is not None:
            files = {}
        for path, data in changed.items():
            sha1 = hashlib.sha1(data, usedforsecurity=False).hexdigest()
            await objects.put_blob(data, sha1)
            files[path] = ManifestFile(path=path, sha1=sha1, size=len(data))
        deploy_id, commit = ids.new_id(), planned.commit(index).id
        tree = Tree(
            {path: TreeEntry(file.sha1, file.size or 0) for path, file in files.items()},
            TreeOf(site_id, deploy_id, commit) if describe_trees else None,
        )
        created_at = _milliseconds(start - timedelta(days=age_days))
        deploy = Deploy(
            id=deploy_id,
            site_id=site_id,
            number=index + 1,
            state=DeployState.READY,
            branch=BRANCH,
            commit_ref=commit,
            build_id=None,
            created_at=created_at,
            metadata=Metadata(
                tree=await objects.put_tree(tree),
                completed_at=created_at + timedelta(seconds=ids.random.randint(15, 90)),
                file_count=len(files),
                byte_count=sum(entry.size for entry in tree.files.values()),
                pending_uploads=[],
            ),
        )
        listed = [files[path] for path in sorted(files)]
        past.append((deploy, Manifest(id=deploy.id, files=listed)))
    return past


async def _log(pointers: PointerLog, deploys: Sequence[Deploy]) -> None:
    """Put a site's pointers on record, oldest first."""
    previous = None
    for deploy in deploys:
        assert deploy.metadata.tree is not None
        await pointers.record(
            PointerRecord(
                at=deploy.metadata.completed_at or deploy.created_at,
                site_id=deploy.site_id,
                deploy_id=deploy.id,
                number=deploy.number,
                commit_ref=deploy.commit_ref,
                tree=deploy.metadata.tree,
                previous=previous,
                file_count=deploy.metadata.file_count,
                byte_count=deploy.metadata.byte_count,
            )
        )
        previous = deploy.metadata.tree


def _changed(planned: FleetSite, index: int) -> Iterator[tuple[str, bytes]]:
    """The files of a revision that differ from the one before; all of them for a user's commit."""
    if planned.user is None:
        yield from planned.revisions[index].changed.items()
        return
    wanted = planned.commit(index).files
    yield from zip(wanted, read_blobs(planned.repository, list(wanted.values())), strict=True)


def _milliseconds(time: datetime) -> datetime:
    return time.replace(microsecond=time.microsecond // 1000 * 1000)
