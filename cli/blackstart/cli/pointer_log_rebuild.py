"""`blackstart pointer-log rebuild`: brings lost pointers back from the log."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blackstart.cli.ledgers import AsJson, hint_at
from blackstart.cli.pointer_log_options import WORDS, the_settings

if TYPE_CHECKING:
    from blackstart.recovery.from_log import NotRebuilt, Rebuilt
    from blackstart.store import MetadataStore
    from blackstart.store.pointers import LogProblem

WOULD_SET, SET, CHANGED, NOT = "would set", "set", "changed meanwhile", "cannot"


@dataclass(frozen=True)
class _Outcome:
    found: Rebuilt | NotRebuilt
    what: str


def rebuild(
    apply: Annotated[
        bool, typer.Option("--apply", help="Set what is found. Without it nothing is changed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say what the log would set for each deploy whose pointer is lost; with --apply set it.

    A deploy is changed only while its metadata is still what was seen. Fields that the log does
    not know are inferred, and marked. It talks straight to the database of
    BLACKSTART_MONGODB_URI. Exit code: 1 when a deploy stays without its pointer.
    """
    from blackstart.cli.console import doing
    from blackstart.cli.tables import print_json

    with doing("reading the database and the pointer log"):
        outcomes, problems = asyncio.run(_rebuild(apply=apply))
    if as_json:
        print_json([_as_fields(outcome) for outcome in outcomes])
    else:
        _print(outcomes)
    hint_at(problems, WORDS)
    if any(outcome.what in (NOT, CHANGED) for outcome in outcomes):
        raise typer.Exit(1)


async def _rebuild(*, apply: bool) -> tuple[list[_Outcome], list[LogProblem]]:
    from pymongo.errors import PyMongoError

    from blackstart.errors import DatabaseError, UsageError
    from blackstart.recovery.from_log import rebuild_from_log
    from blackstart.store.metadata import connect
    from blackstart.store.pointers import read_pointer_log

    settings, objects, folder = the_settings()
    if not settings.mongodb_uri:
        raise UsageError(
            "lost pointers are looked for in the database, and none is named",
            hint="set BLACKSTART_MONGODB_URI to that of the control API",
        )
    reading = read_pointer_log(objects, folder)
    async with connect(settings.mongodb_uri, settings.database) as store:
        try:
            found = [each async for each in rebuild_from_log(store, objects, reading)]
            outcomes = [_Outcome(each, await _outcome(store, each, apply)) for each in found]
        except PyMongoError as error:
            reason = str(error).splitlines()[0][:160]
            raise DatabaseError(f"MongoDB refused: {reason}") from error
    return outcomes, reading.problems


async def _outcome(store: MetadataStore, found: Rebuilt | NotRebuilt, apply: bool) -> str:
    from blackstart.recovery.from_log import NotRebuilt, set_rebuilt

    if isinstance(found, NotRebuilt):
        return NOT
    if not apply:
        return WOULD_SET
    return SET if await set_rebuilt(store, found) else CHANGED


def _print(outcomes: list[_Outcome]) -> None:
    from collections import Counter

    from blackstart.cli.tables import print_table

    if not outcomes:
        print("no deploy has lost its pointer", file=sys.stderr)
        return
    columns = {"deploy": False, "no.": False, "outcome": False, "tree": False, "note": True}
    print_table(columns, (_row(outcome) for outcome in outcomes))
    counts = Counter(outcome.what for outcome in outcomes)
    print(
        ", ".join(
            f"{what}: {counts[what]:,}" for what in (WOULD_SET, SET, CHANGED, NOT) if what in counts
        )
    )
    if WOULD_SET in counts:
        print("nothing was changed: give --apply to set it", file=sys.stderr)


def _row(outcome: _Outcome) -> tuple[str, ...]:
    from blackstart.recovery.from_log import NotRebuilt

    found = outcome.found
    first = (found.deploy.id, str(found.deploy.number), outcome.what)
    if isinstance(found, NotRebuilt):
        return *first, "", found.why
    notes = [f"inferred: {', '.join(found.inferred)}"] if found.inferred else []
    if found.missing_files:
        notes.append(f"{len(found.missing_files)} of {found.metadata.file_count} files missing")
    return *first, found.pointer.tree[:8], "; ".join(notes)


def _as_fields(outcome: _Outcome) -> dict[str, Any]:
    from blackstart.cli.pointer_log_show import as_fields
    from blackstart.recovery.from_log import NotRebuilt

    found = outcome.found
    deploy = {"deploy": found.deploy.id, "site": found.deploy.site_id, "outcome": outcome.what}
    if isinstance(found, NotRebuilt):
        return {**deploy, "why": found.why}
    return {
        **deploy,
        "metadata": found.metadata.model_dump(mode="json"),
        "inferred": list(found.inferred),
        "missing_files": list(found.missing_files),
        "pointer": as_fields(found.pointer),
    }
