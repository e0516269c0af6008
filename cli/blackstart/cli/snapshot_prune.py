"""`blackstart snapshot prune`: remove snapshots by a rule, and the chunks that nobody needs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blackstart.cli.snapshot_options import (
    ENDED_BY_SIGTERM,
    AsJson,
    complain,
    load_settings,
    open_snapshots,
)

if TYPE_CHECKING:
    from blackstart.recovery.settings import RecoverySettings
    from blackstart.recovery.snapshots import Keep, Pruning, Snapshots

COLUMNS = {"Id": False, "Taken (UTC)": False, "": True}


def prune(
    keep: Annotated[
        str | None,
        typer.Option(
            metavar="RULE",
            help="Which stay, like newest=4,hourly=24,daily=7,weekly=8 (which it is by itself).",
            show_default=False,
        ),
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID", help="One that goes, damaged or not (repeatable); no rule unless --keep."
        ),
    ] = None,
    do_it: Annotated[bool, typer.Option("--apply", help="Do it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove snapshots that a rule does not keep, then chunks that none needs.

    Without --apply it only shows what would be done. The rule is for the snapshots of
    BLACKSTART_DATABASE. Ends with 1 when a manifest that cannot be read keeps all chunks.
    """
    from blackstart import service
    from blackstart.cli.tables import print_json
    from blackstart.recovery.snapshots import Keep

    rule = Keep() if keep is None and not remove else None if keep is None else Keep.parse(keep)
    done = service.run(_prune(load_settings(), rule, remove or [], do_it=do_it))
    if done is None:
        raise typer.Exit(ENDED_BY_SIGTERM)
    if as_json:
        print_json(row_of(done) | {"applied": do_it})
    else:
        _print(done, applied=do_it)
    for damaged in done.damaged:
        complain(f"{damaged} is DAMAGED: it stays until it is removed by --remove {damaged}")
    if done.why_not:
        complain(f"no chunk {'was' if do_it else 'would be'} removed: {done.why_not}")
    if done.unreadable:
        raise typer.Exit(1)


def row_of(done: Pruning) -> dict[str, Any]:
    """What was done, or would be, as JSON."""
    return {
        "kept": done.kept,
        "removed": done.removed,
        "damaged": done.damaged,
        "chunks": done.chunks,
        "chunk_bytes": done.chunk_bytes,
        "why_not": done.why_not,
    }


async def _prune(
    settings: RecoverySettings, rule: Keep | None, remove: list[str], *, do_it: bool
) -> Pruning:
    from blackstart.clock import WallClock
    from blackstart.recovery.snapshots import Collector
    from blackstart.seed import Seed

    snapshots = open_snapshots(settings)
    ids = [await _exactly(snapshots, each, settings) for each in remove]
    collector = Collector(snapshots, WallClock(), rule, ids, database=settings.database)
    return await collector.apply(Seed.from_entropy()) if do_it else await collector.look()


async def _exactly(snapshots: Snapshots, text: str, settings: RecoverySettings) -> str:
    """Raises: UsageError for `newest`: what that is may change before it is removed."""
    from blackstart.errors import UsageError

    if text == "newest":
        raise UsageError("which one is the newest may change", hint="name it by its id")
    return await snapshots.resolve(text, settings.database)


def _print(done: Pruning, *, applied: bool) -> None:
    from blackstart.cli.tables import print_table
    from blackstart.cli.units import counted, size

    fates = {each: f"kept: {', '.join(reasons)}" for each, reasons in done.kept.items()}
    fates |= dict.fromkeys(done.removed, "removed" if applied else "would be removed")
    if fates:
        print_table(COLUMNS, [[each, _minute(each), fates[each]] for each in sorted(fates)])
    would = "" if applied else "would be "
    print(
        f"{counted(len(done.removed), 'snapshot')} and {counted(done.chunks, 'chunk')} "
        f"({size(done.chunk_bytes)}) {would}removed",
        flush=True,
    )
    if not applied and (done.removed or done.chunks):
        print("nothing was changed: --apply does it", file=sys.stderr, flush=True)


def _minute(snapshot_id: str) -> str:
    """When it was begun, as its id tells."""
    from blackstart.recovery.snapshots.snapshots import time_of_id

    at = time_of_id(snapshot_id)
    return f"{at:%Y-%m-%d %H:%M}" if at else ""
