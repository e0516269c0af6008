"""`blackstart snapshot find`: documents out of a snapshot as JSON, with no shell installed."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated

import typer

from blackstart.cli.snapshot_options import (
    ENDED_BY_SIGTERM,
    TROUBLE,
    Before,
    SnapshotId,
    choose,
    complain_of_gaps,
    load_settings,
    moment_of,
    open_snapshots,
    trouble,
)

if TYPE_CHECKING:
    from datetime import datetime

    from blackstart.recovery.restoring import Wanted
    from blackstart.recovery.settings import RecoverySettings


def find(
    snapshot_id: SnapshotId,
    collection: Annotated[str, typer.Option(metavar="NAME", help="The collection to look in.")],
    where: Annotated[
        str,
        typer.Option(
            metavar="JSON", help="A filter of MongoDB's, in extended JSON.", show_default=False
        ),
    ] = "",
    limit: Annotated[
        int, typer.Option(min=0, metavar="N", help="No more than N documents; 0 is all.")
    ] = 0,
    before: Before = None,
    as_lines: Annotated[bool, typer.Option("--json", help="One line for each document.")] = False,
) -> None:
    """Print documents of a snapshot, in `_id` order, as MongoDB's extended JSON.

    By `_id` this reads one chunk, by anything else all of the collection. Ends with 1 when nothing
    was found, with 3 when something could not be read.
    """
    from blackstart import service
    from blackstart.recovery.restoring import Wanted

    wanted, moment = Wanted.parse(where, limit=limit), moment_of(before, snapshot_id)
    indent = None if as_lines else 2
    with trouble():
        code = service.run(_find(load_settings(), snapshot_id, moment, collection, wanted, indent))
    raise typer.Exit(ENDED_BY_SIGTERM if code is None else code)


async def _find(
    settings: RecoverySettings,
    snapshot_id: str,
    before: datetime | None,
    collection: str,
    wanted: Wanted,
    indent: int | None,
) -> int:
    from blackstart.recovery.exact import extended_json

    snapshots = open_snapshots(settings)
    chosen = await choose(snapshots, snapshot_id, before, settings.database)
    reader = await snapshots.open_patiently(chosen)
    count = 0
    async with aclosing(wanted.among(reader, collection)) as found:
        async for raw in found:
            print(json.dumps(extended_json(raw), indent=indent))
            count += 1
    complain_of_gaps(reader.gaps)
    if reader.gaps:
        return TROUBLE
    return 0 if count else 1
