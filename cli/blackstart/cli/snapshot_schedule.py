"""`blackstart snapshot schedule`: snapshots by the clock, while the command runs."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blackstart.cli.snapshot_options import (
    ENDED_BY_SIGTERM,
    complain,
    load_settings,
    needs_database,
    open_snapshots,
)

if TYPE_CHECKING:
    from blackstart.events import Events
    from blackstart.recovery.settings import RecoverySettings
    from blackstart.recovery.snapshots import Outcome


def schedule(
    every: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Like 90s, 15m, 6h or 1d: at each multiple of it, in UTC. Else 15m with the "
            "safeguard frequent-snapshots, 1d without.  [dim]BLACKSTART_SNAPSHOT_EVERY[/]",
            show_default=False,
        ),
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(
            metavar="RULE",
            help="Prune after each by a rule like newest=4,hourly=24,daily=7,weekly=8. Without "
            "one nothing is removed.  [dim]BLACKSTART_SNAPSHOT_KEEP[/]",
            show_default=False,
        ),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Take what is due, if anything is, and end: for cron.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what happens as JSON lines.")
    ] = False,
) -> None:
    """Take a snapshot whenever one is due, until Ctrl-C: one line for each on stdout.

    One is due when the bucket has none that was begun since the last multiple:
    a late start takes one, one taken by hand counts. Failures are tried again.
    """
    from blackstart import service

    settings = load_settings(snapshot_every=every, snapshot_keep=keep)
    needs_database(settings)
    outcome = service.run(_schedule(settings, _json_line if as_json else _line, once=once))
    if outcome is None:
        raise typer.Exit(ENDED_BY_SIGTERM)
    if outcome != "taken":
        why = "nothing is due" if outcome == "not due" else "another process is taking one"
        print(f"{why}; no snapshot was taken", file=sys.stderr, flush=True)


async def _schedule(settings: RecoverySettings, events: Events, *, once: bool) -> Outcome:
    from blackstart.recovery.snapshots.service import schedule_of

    made = schedule_of(settings, open_snapshots(settings, make=True), events)
    if once:
        return await made.once()
    print(
        f"a snapshot of {settings.database} every {settings.every()}, {_kept(settings)}; "
        "Ctrl-C ends it",
        file=sys.stderr,
        flush=True,
    )
    await made.run()
    raise AssertionError("a schedule has no end")


def _kept(settings: RecoverySettings) -> str:
    keep = settings.keep()
    return "none is removed" if keep is None else f"keeping {keep}"


def _json_line(action: str, subject: str, **details: Any) -> None:
    print(json.dumps({"event": action, "subject": subject} | details), flush=True)


def _line(action: str, subject: str, **details: Any) -> None:
    """What a person has to know; one line on stdout for each snapshot."""
    from blackstart.cli.units import counted, size

    match action:
        case "snapshot.taken":
            print(
                f"{subject}  {counted(details['documents'], 'document')}, "
                f"{size(details['new_bytes'])} new, {details['seconds']:.1f} s",
                flush=True,
            )
            if details["empty"]:
                complain(f"snapshot {subject} is EMPTY: {details['database']} has no deploys")
            if details["late"]:
                complain("it took longer than the interval")
        case "snapshot.failed":
            complain(f"no snapshot: {details['error']}; again in {details['retry_in_s']} s")
        case "snapshot.abandoned":
            complain("the snapshot that was being taken was given up; nothing of it is listed")
        case "snapshots.pruned" if details["removed"] or details["chunks"]:
            print(
                f"{counted(details['removed'], 'snapshot')} and "
                f"{counted(details['chunks'], 'chunk')} ({size(details['freed_bytes'])}) removed",
                file=sys.stderr,
                flush=True,
            )
        case "snapshots.prune_failed":
            complain(f"nothing was pruned: {details['error']}")
