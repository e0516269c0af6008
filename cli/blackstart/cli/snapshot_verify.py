"""`blackstart snapshot verify`: read every chunk again and say whether all is as it was stored."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blackstart.cli.progress import bar
from blackstart.cli.snapshot_options import (
    ENDED_BY_SIGTERM,
    AsJson,
    complain,
    load_settings,
    open_snapshots,
)

if TYPE_CHECKING:
    from blackstart.recovery.settings import RecoverySettings
    from blackstart.recovery.snapshots import Damage, Snapshots, Verdict

UNVERIFIED = 3
TOLD = 20
"""How many damaged chunks of a snapshot are told one by one; JSON has all."""


def verify(
    snapshot_id: Annotated[
        str | None,
        typer.Argument(
            metavar="[ID]", help="As `snapshot list` shows it, the beginning of it, or `newest`."
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All snapshots in the bucket.")] = False,
    as_json: AsJson = False,
) -> None:
    """Read all that a snapshot holds, and compare it with its digests, counts and order.

    Ends with 0 when all is well, 1 when something is damaged, 3 when nothing is known to be
    damaged and not everything could be read.
    """
    from blackstart import service
    from blackstart.cli.tables import print_json
    from blackstart.errors import UsageError

    if every == (snapshot_id is not None):
        raise UsageError("verify what?", hint="name a snapshot, or else --all")
    verdicts = service.run(_verify(load_settings(), snapshot_id, quiet=as_json))
    if verdicts is None:
        raise typer.Exit(ENDED_BY_SIGTERM)
    if as_json:
        print_json([_row(each) for each in verdicts])
    raise typer.Exit(code_of(verdicts))


def code_of(verdicts: list[Verdict]) -> int:
    """0 only when there is something and all of it is ok."""
    from blackstart.recovery.snapshots import State

    states = {each.state for each in verdicts}
    if State.DAMAGED in states:
        return 1
    return 0 if states == {State.OK} else UNVERIFIED


async def _verify(
    settings: RecoverySettings, snapshot_id: str | None, *, quiet: bool
) -> list[Verdict]:
    from blackstart.recovery.snapshots import Verifier

    snapshots = open_snapshots(settings)
    verifier = Verifier(snapshots)
    verdicts = []
    for each in await _wanted(snapshots, settings, snapshot_id):
        with bar("verifying", await _expected(snapshots, each)) as progress:
            verdict = await verifier.verify(each, progress.advance)
        verdicts.append(verdict)
        if not quiet:
            _print(verdict)
    if not verdicts:
        complain("there are no snapshots: nothing was verified")
    return verdicts


async def _wanted(
    snapshots: Snapshots, settings: RecoverySettings, snapshot_id: str | None
) -> list[str]:
    if snapshot_id is not None:
        return [await snapshots.resolve(snapshot_id, settings.database)]
    listing = await snapshots.listing()
    found = [each.id for each in listing.snapshots] + [each.id for each in listing.damaged]
    return sorted(found)


async def _expected(snapshots: Snapshots, snapshot_id: str) -> int:
    """How many chunks there are to read; why a manifest can't be read is the verdict's to say."""
    from blackstart.errors import BlackstartError

    try:
        manifest = await snapshots.manifest(snapshot_id)
    except BlackstartError:
        return 0
    return sum(len(each.chunks) for each in manifest.collections.values())


def _print(verdict: Verdict) -> None:
    from blackstart.cli.units import counted, size
    from blackstart.recovery.snapshots import State

    if verdict.state is State.OK:
        held = f"{counted(verdict.documents, 'document')} in {counted(verdict.chunks, 'chunk')}"
        print(f"{verdict.id}  ok: {held}, {size(verdict.raw_bytes)}", flush=True)
        if verdict.is_empty:
            complain(f"{verdict.id} is EMPTY: it holds no deploys")
        return
    print(f"{verdict.id}  {verdict.state.upper()}", flush=True)
    for damage in verdict.damages[:TOLD]:
        _tell(damage)
    if len(verdict.damages) > TOLD:
        complain(f"  ... and {len(verdict.damages) - TOLD} more (--json lists all)")
    for reason in verdict.unread:
        complain(f"  {reason}")
    sys.stderr.flush()


def _tell(damage: Damage) -> None:
    where = f"collection {damage.collection}: " if damage.collection else ""
    if not damage.chunk:
        complain(f"  {where}{damage.kind}: {damage.reason}")
        return
    complain(f"  {where}{damage.kind}: chunk")
    _tell_name(damage.chunk)
    if damage.base:
        complain("  which is a patch of chunk")
        _tell_name(damage.base)


def _tell_name(name: str) -> None:
    """In two lines: a digest alone takes most of one."""
    digest, dot, rest = name.partition(".")
    for part in (digest, dot + rest):
        complain(f"    {part}")


def _row(verdict: Verdict) -> dict[str, Any]:
    return {
        "id": verdict.id,
        "state": verdict.state,
        "empty": verdict.is_empty,
        "chunks": verdict.chunks,
        "documents": verdict.documents,
        "raw_bytes": verdict.raw_bytes,
        "damages": [
            {
                "collection": each.collection,
                "chunk": each.chunk,
                "base": each.base,
                "kind": each.kind,
                "reason": each.reason,
            }
            for each in verdict.damages
        ],
        "unread": list(verdict.unread),
    }
