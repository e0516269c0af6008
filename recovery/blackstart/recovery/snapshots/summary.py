"""A snapshot as lists show it, and what was found where one should be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from blackstart.recovery.snapshots.manifest import Manifest

DEPLOYS = "deploys"


@dataclass(frozen=True)
class Snapshot:
    """When it was taken, and how many documents each collection holds.

    `raw_bytes` is all it holds, `written_bytes` what taking it added to the
    object store.
    """

    id: str
    database: str
    taken_at: datetime
    consistency: str
    collections: Mapping[str, int]
    raw_bytes: int
    written_bytes: int
    left_out: tuple[str, ...] = ()

    @property
    def deploy_count(self) -> int:
        return self.collections.get(DEPLOYS, 0)

    @property
    def empty(self) -> bool:
        """It holds no deploys: nothing can be brought back from it."""
        return self.deploy_count == 0


@dataclass(frozen=True)
class DamagedSnapshot:
    """A manifest that cannot be believed: its snapshot may hold anything or nothing."""

    id: str
    why: str


@dataclass(frozen=True)
class Listing:
    """All manifests there are, oldest first."""

    snapshots: list[Snapshot]
    damaged: list[DamagedSnapshot]


def summary_of(manifest: Manifest) -> Snapshot:
    """What lists show of a manifest."""
    return Snapshot(
        manifest.id,
        manifest.database,
        manifest.taken_at,
        manifest.consistency,
        {each.name: each.count for each in manifest.collections},
        sum(each.raw_bytes for each in manifest.collections),
        manifest.written_bytes,
        tuple(manifest.left_out),
    )
