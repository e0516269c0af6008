"""`blackstart recover apply`: carry a plan out, stop at any moment, go on later."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blackstart.cli.progress import bar
from blackstart.cli.recover_tools import (
    JOURNAL,
    AsJson,
    JournalFolder,
    PlanPath,
    Tools,
    outcome_words,
    silent,
    tell_run,
    with_tools,
)

if TYPE_CHECKING:
    from blackstart.recovery.apply import Pace, Report

NAMED = 20


def apply(
    path: PlanPath,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it. Without this, it is only compared.")
    ] = False,
    rate: Annotated[
        float | None, typer.Option(min=0.001, metavar="N", help="At most N deploys a second.")
    ] = None,
    batch: Annotated[
        int, typer.Option(min=1, max=10_000, metavar="N", help="Deploys in one write.")
    ] = 500,
    at_once: Annotated[
        int, typer.Option(min=1, max=64, metavar="N", help="Writes under way at a time.")
    ] = 4,
    journal: JournalFolder = JOURNAL,
    as_json: AsJson = False,
) -> None:
    """Carry out a plan; without --yes say what that would do.

    Ends with 1 when a deploy was not as the plan saw it any more, or failed. It may be stopped
    at any moment: the same command goes on. What is changed is those databases that
    BLACKSTART_MONGODB_URI and BLACKSTART_DATABASE name.
    """
    from blackstart.recovery.apply import Pace

    pace = Pace(batch=batch, at_once=at_once, per_second=rate)
    try:
        report = with_tools(lambda tools: _apply(tools, path, pace, journal, dry=not yes))
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
        raise
    print_report(report, as_json=as_json, dry=not yes)
    if not report.tally.smooth:
        raise typer.Exit(1)


async def _apply(tools: Tools, path: Path, pace: Pace, journal: Path, *, dry: bool) -> Report:
    from blackstart.recovery.apply import Applier, Deeds, Runs, SiteSteps
    from blackstart.recovery.plan import PlanFile

    with PlanFile(path) as found:
        async with tools.control() as (publisher, builds):
            applier = Applier(
                tools.settings.database,
                Deeds(tools.store),
                SiteSteps(tools.store, publisher, builds),
                Runs(journal),
                clock=tools.clock,
                events=silent,
            )
            with bar("comparing" if dry else "applying", found.header.deploys) as progress:
                if dry:
                    return await applier.rehearse(found, progress=progress.reach)
                return await applier.apply(
                    found, pace, progress=progress.reach, begun=tell_run("recover")
                )


def print_report(report: Report, *, as_json: bool, dry: bool, undo: bool = False) -> None:
    """How a run went, and which deploys went otherwise."""
    from blackstart.cli.tables import plain, print_json

    counts = {outcome.value: count for outcome, count in report.tally.counts.items()}
    if as_json:
        named = [
            {"deploy": deploy, "outcome": outcome.value, "why": why}
            for deploy, outcome, why in report.tally.named
        ]
        print_json({"run": report.run or None, "resumed": report.resumed, **counts, "named": named})
        return
    if report.run:
        print(f"run {report.run}{', gone on with' if report.resumed else ''}")
    for line in outcome_words(counts, dry=dry, undo=undo) or ["nothing to do"]:
        print(line)
    for deploy, outcome, why in report.tally.named[:NAMED]:
        print(plain(f"{deploy}  {outcome}{f': {why}' if why else ''}"))
    if report.tally.total and dry:
        print("nothing was changed: --yes does it")
