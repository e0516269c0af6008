"""Every source there is, best first: what a plan is made from unless somebody says otherwise."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

from blackstart.recovery.snapshots import Snapshots
from blackstart.recovery.sources.announced import AnnouncedSource
from blackstart.recovery.sources.pointer_log import PointerLogSource
from blackstart.recovery.sources.snapshot import SnapshotSource
from blackstart.recovery.sources.source import Broken, Offer, Refusal, Route, Source
from blackstart.recovery.sources.tree_scan import TreeScanSource
from blackstart.store import MetadataStore, ObjectStore


class DeadSource:
    """A source that should be there and cannot be asked: it is only named."""

    def __init__(self, route: Route, name: str, problem: str) -> None:
        self.route = route
        self.name = name
        self.problems = [problem]

    async def offers(self, broken: Broken) -> AsyncIterator[Offer | Refusal]:
        """None."""
        for _ in ():
            yield _


async def snapshot_sources(snapshots: Snapshots) -> list[Source]:
    """All snapshots, newest first, and manifests that cannot be read. Raises: StorageError."""
    listing = await snapshots.listing()
    dead: list[Source] = [
        DeadSource(Route.SNAPSHOT, f"snapshot {each.id}", each.reason) for each in listing.damaged
    ]
    if not listing.snapshots and not dead:
        dead.append(DeadSource(Route.SNAPSHOT, "snapshots", "there is none"))
    return dead + [
        SnapshotSource(each.id, each.taken_at, partial(snapshots.open, each.id))
        for each in reversed(listing.snapshots)
    ]


async def every_source(
    store: MetadataStore,
    objects: ObjectStore,
    snapshots: Snapshots,
    *,
    pointer_log: Path | None = None,
) -> list[Source]:
    """Snapshots, pointer log, trees, manifests; `pointer_log` is the log's local folder, if any."""
    return [
        *await snapshot_sources(snapshots),
        PointerLogSource(objects, pointer_log),
        TreeScanSource(objects),
        AnnouncedSource(store, objects),
    ]
