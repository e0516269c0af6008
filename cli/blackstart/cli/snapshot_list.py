"""`blackstart snapshot list`: what the bucket holds."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import typer

from blackstart.cli.snapshot_options import (
    AsJson,
    complain,
    load_settings,
    open_snapshots,
    row_of,
)

if TYPE_CHECKING:
    from blackstart.recovery.snapshots import Listing, Snapshot

COLUMNS = {"Id": False, "Taken (UTC)": False, "Deploys": False, "Data": False, "Note": True}


def list_snapshots(as_json: AsJson = False) -> None:
    """List the snapshots, oldest first. Ends with 1 when one is damaged."""
    from blackstart.cli.tables import print_json, print_table

    settings = load_settings()
    listing = asyncio.run(open_snapshots(settings).listing())
    if as_json:
        print_json(_rows(listing))
    elif listing.snapshots:
        print_table(COLUMNS, [_cells(each, settings.database) for each in listing.snapshots])
    elif not listing.damaged:
        print(
            f"There are none in {settings.object_store}; take one with `blackstart snapshot take`.",
            file=sys.stderr,
        )
    for damaged in listing.damaged:
        complain(f"{damaged.id} is DAMAGED: {damaged.reason}")
    if listing.damaged:
        raise typer.Exit(1)


def notes(snapshot: Snapshot, database: str) -> str:
    """What to know about a snapshot before relying on it."""
    said = {
        "EMPTY": snapshot.is_empty,
        "not one moment": not snapshot.consistent,
        "sealed": snapshot.sealed,
        f"of {snapshot.database}": snapshot.database != database,
    }
    return ", ".join(note for note, holds in said.items() if holds)


def _rows(listing: Listing) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = [row_of(each) | {"damaged": ""} for each in listing.snapshots]
    return rows + [{"id": each.id, "damaged": each.reason} for each in listing.damaged]


def _cells(each: Snapshot, database: str) -> list[str]:
    from blackstart.cli.units import size

    taken = f"{each.taken_at:%Y-%m-%d %H:%M}"
    return [each.id, taken, str(each.deploy_count), size(each.raw_bytes), notes(each, database)]
