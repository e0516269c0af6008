"""`blackstart snapshot diff`: what differs between snapshots, or a snapshot and the database."""

from __future__ import annotations

import json
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from blackstart.cli.progress import bar
from blackstart.cli.snapshot_options import (
    ENDED_BY_SIGTERM,
    TROUBLE,
    AsJson,
    Before,
    Collections,
    choose,
    complain,
    complain_of_gaps,
    load_settings,
    moment_of,
    open_database,
    open_snapshots,
    trouble,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from blackstart.recovery.diff import Comparison, Difference, Side, Summary
    from blackstart.recovery.settings import RecoverySettings
    from blackstart.recovery.snapshots import PatientReader, Snapshots

LIVE = "live"


def diff(
    one: Annotated[
        str,
        typer.Argument(metavar="A", help="A snapshot: its id, the beginning of it, or `newest`."),
    ],
    other: Annotated[
        str,
        typer.Argument(metavar="B", help="Another one, or `live`: the database as it is now."),
    ],
    before: Before = None,
    collections: Collections = None,
    summary: Annotated[
        bool, typer.Option("--summary", help="Only the counts, by collection and by field.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show which documents were added, removed and changed from A to B, by field.

    Ends like diff(1): 0 when nothing differs, 1 when something does, 2 or 3 when that could not be
    told. --before goes with an A that is `newest`. With --json each document is one line.
    """
    from blackstart import service
    from blackstart.errors import UsageError

    if one == LIVE:
        raise UsageError(
            "the database comes second", hint=f"blackstart snapshot diff {other} {LIVE}"
        )
    moment = moment_of(before, one)
    show = _Show(documents=not summary, as_json=as_json)
    with trouble():
        told = service.run(_diff(load_settings(), one, other, moment, collections or (), show))
    if told is None:
        raise typer.Exit(ENDED_BY_SIGTERM)
    show.end(told)
    raise typer.Exit(_code(told))


class _Show:
    """What is printed: documents as they are found, counts in the end."""

    def __init__(self, *, documents: bool, as_json: bool) -> None:
        self._documents = documents
        self._as_json = as_json

    def found(self, difference: Difference) -> None:
        from blackstart.cli.snapshot_values import print_difference

        if not self._documents:
            return
        if self._as_json:
            print(json.dumps(difference.as_row()))
        else:
            print_difference(difference)

    def end(self, summary: Summary) -> None:
        from blackstart.cli.snapshot_values import print_summary
        from blackstart.cli.units import counted

        if self._as_json:
            if not self._documents:
                print(json.dumps(summary.as_row()))
        elif summary.count():
            if self._documents:
                print()
            print_summary(summary)
        elif not summary.uncompared.total():
            print("no difference")
        for name, count in sorted(summary.uncompared.items()):
            if count:
                complain(f"{counted(count, 'document')} of {name} could NOT BE COMPARED")


def _code(summary: Summary) -> int:
    if summary.uncompared.total():
        return TROUBLE
    return 1 if summary.count() else 0


async def _diff(
    settings: RecoverySettings,
    one: str,
    other: str,
    before: datetime | None,
    collections: Sequence[str],
    show: _Show,
) -> Summary:
    from blackstart.recovery.diff import Comparison, SnapshotSide

    snapshots = open_snapshots(settings)
    reader = await _open(snapshots, settings, one, before)
    readers = [reader]
    if other == LIVE:
        _compare_databases(reader, settings.database)
        async with _live(settings) as (side, count):
            comparison = Comparison(SnapshotSide(reader), side, collections)
            await _run(comparison, readers, show, count)
    else:
        readers.append(await _open(snapshots, settings, other, None))
        _compare_databases(reader, readers[1].snapshot.database)
        comparison = Comparison(SnapshotSide(reader), SnapshotSide(readers[1]), collections)
        await _run(comparison, readers, show, 0)
    complain_of_gaps([gap for each in readers for gap in each.gaps])
    return comparison.summary


async def _run(
    comparison: Comparison, readers: list[PatientReader], show: _Show, live: int
) -> None:
    with bar("comparing", _expected(comparison, readers) + live) as progress:
        async with aclosing(comparison.run(progress.advance)) as found:
            async for difference in found:
                show.found(difference)


def _expected(comparison: Comparison, readers: list[PatientReader]) -> int:
    """How many documents of the snapshots have to be read."""
    return sum(
        chunk.count
        for name in comparison.collections
        for reader in readers
        for chunk in reader.chunk_list(name)
        if chunk.digest not in comparison.shared(name)
    )


@asynccontextmanager
async def _live(settings: RecoverySettings) -> AsyncIterator[tuple[Side, int]]:
    """The database, and about how many documents it has."""
    from blackstart.recovery.diff import LiveSide
    from blackstart.recovery.snapshots.source import inventory_of, reading

    async with open_database(settings) as store:
        inventory = await inventory_of(store.database)
        counts = [
            await store.database[name].estimated_document_count() for name in inventory.collections
        ]
        async with reading(store.database) as source:
            if not source.is_consistent:
                complain("the database is read collection after collection: not one moment")
            yield LiveSide(source, inventory), sum(counts)


async def _open(
    snapshots: Snapshots, settings: RecoverySettings, wanted: str, before: datetime | None
) -> PatientReader:
    return await snapshots.open_patiently(
        await choose(snapshots, wanted, before, settings.database)
    )


def _compare_databases(reader: PatientReader, other: str) -> None:
    if reader.snapshot.database != other:
        complain(f"A is of database {reader.snapshot.database}, B of {other}")
