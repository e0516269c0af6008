"""`blackstart snapshot show`: what one snapshot holds, as its manifest says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from blackstart.cli.snapshot_options import (
    AsJson,
    SnapshotId,
    complain,
    load_settings,
    open_snapshots,
    row_of,
)

if TYPE_CHECKING:
    from blackstart.recovery.settings import RecoverySettings
    from blackstart.recovery.snapshots import Manifest, SnapshotCollection

COLUMNS = {"Collection": True, "Documents": False, "Chunks": False, "Patches": False, "Data": False}


def show(snapshot_id: SnapshotId, as_json: AsJson = False) -> None:
    """Show one snapshot. This reads its manifest and nothing else."""
    from blackstart.cli.tables import print_json

    manifest = asyncio.run(_read(load_settings(), snapshot_id))
    if as_json:
        collections = {name: _facts(each) for name, each in manifest.collections.items()}
        print_json(row_of(manifest.snapshot) | {"collections": collections})
    else:
        _print(manifest)
    for left_out in manifest.snapshot.left_out:
        complain(left_out)
    if manifest.snapshot.is_empty:
        complain(f"snapshot {manifest.snapshot.id} is EMPTY: it holds no deploys")


async def _read(settings: RecoverySettings, snapshot_id: str) -> Manifest:
    snapshots = open_snapshots(settings)
    return await snapshots.manifest(await snapshots.resolve(snapshot_id, settings.database))


def _facts(collection: SnapshotCollection) -> dict[str, Any]:
    return {
        "documents": collection.count,
        "chunks": len(collection.chunks),
        "patches": sum(chunk.base is not None for chunk in collection.chunks),
        "raw_bytes": collection.raw_bytes,
        "indexes": [each["name"] for each in collection.indexes],
    }


def _print(manifest: Manifest) -> None:
    from blackstart.cli.tables import print_fields, print_table
    from blackstart.cli.units import size

    snapshot = manifest.snapshot
    print_fields(
        {
            "id": snapshot.id,
            "taken": f"{snapshot.taken_at:%Y-%m-%d %H:%M:%S} UTC",
            "database": snapshot.database,
            "one moment": "yes" if snapshot.consistent else "no: collection after collection",
            "sealed": "yes" if snapshot.sealed else "no",
            "documents": snapshot.document_count,
            "data": size(snapshot.raw_bytes),
            "newly stored": size(snapshot.stored_bytes),
        }
    )
    rows = ((name, _facts(each)) for name, each in sorted(manifest.collections.items()))
    print_table(
        COLUMNS,
        [
            [
                name,
                *(str(facts[key]) for key in ("documents", "chunks", "patches")),
                size(facts["raw_bytes"]),
            ]
            for name, facts in rows
        ],
    )
