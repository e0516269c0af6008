"""`blackstart snapshot take`: copy the database into the object store."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from blackstart.cli.progress import bar
from blackstart.cli.snapshot_options import (
    ENDED_BY_SIGTERM,
    AsJson,
    complain,
    load_settings,
    open_database,
    open_snapshots,
    row_of,
)

if TYPE_CHECKING:
    from blackstart.recovery.settings import RecoverySettings
    from blackstart.recovery.snapshots import Snapshot
    from blackstart.store import MetadataStore


def take(
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="A database without deploys is no failure.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Take a snapshot. Its id is printed alone on stdout; all else goes to stderr.

    What earlier snapshots hold is not stored again. Ends with 1 when there are no deploys: the
    snapshot is kept, but it is one of nothing.
    """
    from blackstart import service
    from blackstart.cli.tables import print_json

    taken = service.run(_take(load_settings()))
    if taken is None:
        raise typer.Exit(ENDED_BY_SIGTERM)
    if as_json:
        print_json(row_of(taken))
    else:
        print(summary(taken), file=sys.stderr, flush=True)
        print(taken.id)
    if not taken.consistent:
        complain("its collections were read one after the other: this server has no snapshot reads")
    for left_out in taken.left_out:
        complain(left_out)
    if taken.is_empty and not allow_empty:
        complain(f"snapshot {taken.id} is EMPTY: {taken.database} has no deploys")
        raise typer.Exit(1)


def summary(taken: Snapshot) -> str:
    """One line on what a snapshot holds."""
    from blackstart.cli.units import counted, size

    return (
        f"{counted(taken.document_count, 'document')} in "
        f"{counted(len(taken.counts), 'collection')}, "
        f"{size(taken.raw_bytes)}; {size(taken.stored_bytes)} newly stored"
    )


async def _take(settings: RecoverySettings) -> Snapshot:
    from blackstart.clock import WallClock
    from blackstart.seed import Seed

    snapshots = open_snapshots(settings, make=True)
    async with open_database(settings) as store:
        with bar("reading", await _expected(store)) as progress:
            return await snapshots.take(
                store.database, WallClock(), Seed.from_entropy(), progress=progress.advance
            )


async def _expected(store: MetadataStore) -> int:
    """About how many documents there are: the server knows without counting."""
    from blackstart.recovery.snapshots.source import collections_of

    names = await collections_of(store.database)
    return sum([await store.database[name].estimated_document_count() for name in names])
