"""`blackstart recover undo`: take back what a run changed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blackstart.cli.progress import bar
from blackstart.cli.recover_apply import print_report
from blackstart.cli.recover_tools import JOURNAL, AsJson, JournalFolder, Tools, with_tools

if TYPE_CHECKING:
    from blackstart.recovery.apply import Report


def undo(
    run: Annotated[str, typer.Argument(metavar="RUN", help="As `recover apply` told it.")],
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it. Without this, it is only compared.")
    ] = False,
    journal: JournalFolder = JOURNAL,
    as_json: AsJson = False,
) -> None:
    """Take back what a run changed and nobody has changed since; without --yes only compare.

    Ends with 1 when something could not be taken back. It works on the database of
    BLACKSTART_MONGODB_URI, and may be stopped: the same command goes on.
    """
    try:
        report = with_tools(lambda tools: _undo(tools, run, journal, dry=not yes))
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
        raise
    print_report(report, as_json=as_json, dry=not yes, undo=True)
    if not report.tally.smooth:
        raise typer.Exit(1)


async def _undo(tools: Tools, run: str, journal: Path, *, dry: bool) -> Report:
    from blackstart.recovery.apply import Deeds, Runs
    from blackstart.recovery.undo import Undoer

    async with tools.control() as (publisher, builds):
        undoer = Undoer(
            tools.store,
            Deeds(tools.store),
            publisher,
            builds,
            Runs(journal),
            clock=tools.clock,
        )
        with bar("comparing" if dry else "taking back", 0) as progress:
            return await undoer.undo(run, dry=dry, progress=progress.reach)
