"""`blackstart snapshot restore` and `undo`: some documents or fields of a snapshot, put back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blackstart.cli.progress import bar
from blackstart.cli.recover_tools import JOURNAL, JournalFolder, outcome_words, tell_run
from blackstart.cli.snapshot_options import (
    ENDED_BY_SIGTERM,
    AsJson,
    Before,
    SnapshotId,
    choose,
    complain,
    complain_of_gaps,
    load_settings,
    moment_of,
    open_database,
    open_snapshots,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from datetime import datetime

    from blackstart.recovery.restoring import Order, Report
    from blackstart.recovery.settings import RecoverySettings

NAMED = 20
DO_IT = Annotated[bool, typer.Option("--yes", help="Do it. Without this, it is only compared.")]


def restore(
    snapshot_id: SnapshotId,
    collections: Annotated[
        list[str] | None,
        typer.Option(
            "--collection",
            metavar="NAME",
            help="What is brought back (repeatable); all when left out.",
            show_default=False,
        ),
    ] = None,
    where: Annotated[
        str,
        typer.Option(
            metavar="JSON",
            help="Only what this filter matches in the snapshot, in extended JSON.",
            show_default=False,
        ),
    ] = "",
    fields: Annotated[
        list[str] | None,
        typer.Option(
            metavar="F,F",
            help="Only these fields, by dotted path (repeatable).",
            show_default=False,
        ),
    ] = None,
    into: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Into another collection of the database."),
    ] = None,
    delete_others: Annotated[
        bool,
        typer.Option(
            "--delete-others", help="Remove what --where matches now and the snapshot lacks."
        ),
    ] = False,
    before: Before = None,
    yes: DO_IT = False,
    journal: JournalFolder = JOURNAL,
    as_json: AsJson = False,
) -> None:
    """Bring documents or fields back from a snapshot; without --yes say what that would do.

    A document that changes meanwhile is left alone and told. What is not in the snapshot stays
    unless --delete-others. It may be stopped at any moment: the same command does what is left.
    Ends with 1 when something could not be brought back.
    """
    from blackstart.recovery.restoring import Order, Wanted, parse_fields

    order = Order(
        tuple(collections or ()),
        Wanted.parse(where),
        fields=tuple(parse_fields(fields or [])),
        into=into,
        delete_others=delete_others,
    )
    moment = moment_of(before, snapshot_id)
    report = _to_the_end(
        _restore(load_settings(), snapshot_id, moment, order, journal, dry=not yes)
    )
    _print(report, as_json=as_json, dry=not yes, stay=not (delete_others or order.fields))
    complain_of_gaps(report.gaps)
    if report.spared:
        complain(f"{report.spared} NOT REMOVED: the snapshot may hold them where it is damaged")
    if not report.smooth:
        raise typer.Exit(1)


def undo(
    run: Annotated[str, typer.Argument(metavar="RUN", help="As `snapshot restore` told it.")],
    yes: DO_IT = False,
    journal: JournalFolder = JOURNAL,
    as_json: AsJson = False,
) -> None:
    """Take back what a restore changed and nobody has changed since; without --yes only compare.

    Ends with 1 when something could not be taken back. It may be stopped: the same command goes on.
    """
    report = _to_the_end(_undo(load_settings(), run, journal, dry=not yes))
    _print(report, as_json=as_json, dry=not yes, undo=True)
    if not report.smooth:
        raise typer.Exit(1)


def _to_the_end(work: Coroutine[None, None, Report]) -> Report:
    from blackstart import service

    try:
        report = service.run(work)
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
        raise
    if report is None:
        raise typer.Exit(ENDED_BY_SIGTERM)
    return report


async def _restore(
    settings: RecoverySettings,
    wanted: str,
    before: datetime | None,
    order: Order,
    journal: Path,
    *,
    dry: bool,
) -> Report:
    from blackstart.clock import WallClock
    from blackstart.recovery.apply import Runs
    from blackstart.recovery.restoring import Restorer
    from blackstart.seed import Seed

    snapshots = open_snapshots(settings)
    reader = await snapshots.open_patiently(
        await choose(snapshots, wanted, before, settings.database)
    )
    snapshot = reader.snapshot
    taken = f"{snapshot.taken_at:%Y-%m-%d %H:%M:%S} UTC"
    print(f"snapshot {snapshot.id} of {taken}", file=sys.stderr, flush=True)
    async with open_database(settings) as store:
        restorer = Restorer(
            reader,
            store.database,
            order,
            Runs(journal),
            clock=WallClock(),
            seed=Seed.from_entropy(),
        )
        expected = sum(reader.count(name) for name in restorer.collections)
        with bar("comparing" if dry else "restoring", expected) as progress:
            if dry:
                return await restorer.look(progress.advance)
            return await restorer.apply(progress.advance, begun=tell_run("snapshot"))


async def _undo(settings: RecoverySettings, run: str, journal: Path, *, dry: bool) -> Report:
    from blackstart.recovery.apply import Runs
    from blackstart.recovery.restoring import RestoreUndoer

    async with open_database(settings) as store:
        with bar("comparing" if dry else "taking back", 0) as progress:
            return await RestoreUndoer(store.database, Runs(journal)).undo(
                run, progress.advance, dry=dry
            )


def _print(
    report: Report, *, as_json: bool, dry: bool, undo: bool = False, stay: bool = False
) -> None:
    from blackstart.cli.snapshot_values import print_difference, print_summary
    from blackstart.cli.tables import plain, print_json

    counts = {outcome.value: count for outcome, count in report.tally.counts.items()}
    if as_json:
        print_json(_row(report, applied=not dry))
        return
    for difference in report.sample if dry else []:
        print_difference(difference)
    if report.summary.count() > len(report.sample) and dry:
        print(f"... and {report.summary.count() - len(report.sample):,} more")
    if report.summary.count():
        print()
        print_summary(report.summary)
        print()
    for line in outcome_words(counts, dry=dry, undo=undo) or ["nothing to do"]:
        print(line)
    for name, outcome, why in report.tally.named[:NAMED]:
        print(plain(f"{name}  {outcome}{f': {why}' if why else ''}"))
    for name in report.made:
        print(plain(f"collection {name} {'would be made' if dry else 'was made'}: there was none"))
    if stay:
        print("what is not in the snapshot stays: --delete-others removes it")
    if report.run and not dry and not undo:
        print(f"`blackstart snapshot undo {report.run}` takes it back")
    if dry and report.summary.count():
        print("nothing was changed: --yes does it")


def _row(report: Report, *, applied: bool) -> dict[str, object]:
    named = [
        {"document": name, "outcome": outcome.value, "why": why}
        for name, outcome, why in report.tally.named
    ]
    return {
        "run": report.run or None,
        "applied": applied,
        **{outcome.value: count for outcome, count in report.tally.counts.items()},
        **report.summary.as_row(),
        "sample": [each.as_row() for each in report.sample],
        "named": named,
        "made": report.made,
        "not_read": [
            {"collection": each.collection, "count": each.chunk.count, "why": each.why}
            for each in report.gaps
        ],
        "not_removed": report.spared,
    }
