"""`blackstart recover verify`: what became of every affected deploy."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blackstart.cli.progress import bar
from blackstart.cli.recover_tools import Tools, with_tools

if TYPE_CHECKING:
    from blackstart.recovery.verify import Affected, Standing, State


def verify(
    path: Annotated[
        Path | None,
        typer.Argument(metavar="PLAN", help="Whose deploys; without one, those broken now."),
    ] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every file and compare its digest.")
    ] = False,
    limit: Annotated[
        int, typer.Option(min=0, metavar="N", help="Rows of deploys that are not restored.")
    ] = 40,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each deploy as a line of JSON.")
    ] = False,
) -> None:
    """Say of each affected deploy: restored, superseded, reverted, lost or unknown.

    Ends with 1 when one is lost or unknown. It reads the database of BLACKSTART_MONGODB_URI
    and BLACKSTART_OBJECT_STORE, whoever did what to them.
    """
    counts = with_tools(lambda tools: _verify(tools, path, limit, deep=deep, as_json=as_json))
    if counts["lost"] or counts["unknown"]:
        raise typer.Exit(1)


async def _verify(
    tools: Tools, path: Path | None, limit: int, *, deep: bool, as_json: bool
) -> Counter[str]:
    from blackstart.recovery.plan import PlanFile
    from blackstart.recovery.verify import Affected

    if path is None:
        affected = await _broken_now(tools)
        return await _judge(tools, affected, len(affected), limit, deep=deep, as_json=as_json)
    with PlanFile(path) as found:
        if found.header.database != tools.settings.database:
            from blackstart.errors import ConflictError

            raise ConflictError(f"the plan is of database {found.header.database!r}")
        planned = (Affected.by_plan(entry) for entry in found.entries())
        total = found.header.deploys
        return await _judge(tools, planned, total, limit, deep=deep, as_json=as_json)


async def _broken_now(tools: Tools) -> list[Affected]:
    from blackstart.recovery.find import BrokenDeploy, Look, MissingFiles, find
    from blackstart.recovery.verify import Affected

    found: list[Affected] = []
    async for each in find(tools.store, tools.objects, Look(responses=False)):
        if isinstance(each, BrokenDeploy):
            found.append(Affected(each.deploy_id, each.site_id, each.number))
        elif isinstance(each, MissingFiles):
            raw = await tools.store.deploys.raw(each.deploy_id) or {}
            found.append(Affected(each.deploy_id, each.site_id, int(raw.get("number", 0))))
    return found


async def _judge(
    tools: Tools,
    affected: Iterable[Affected],
    total: int,
    limit: int,
    *,
    deep: bool,
    as_json: bool,
) -> Counter[str]:
    from blackstart.recovery.verify import State, Verifier

    counts: Counter[str] = Counter()
    rows: dict[State, list[Standing]] = {state: [] for state in State}
    verifier = Verifier(tools.store, tools.objects, deep=deep)
    with bar("verifying", total) as progress:
        async for each in verifier.verify(affected, progress=progress.reach):
            counts[each.state.value] += 1
            if as_json:
                print(json.dumps(asdict(each)))
            elif each.state is not State.RESTORED and len(rows[each.state]) < limit:
                rows[each.state].append(each)
    if not as_json:
        _print(counts, rows, limit)
    return counts


def _print(counts: Counter[str], rows: dict[State, list[Standing]], limit: int) -> None:
    from blackstart.cli.tables import print_table
    from blackstart.recovery.verify import State

    for state in State:
        if counts[state]:
            print(f"{counts[state]:>8,}  {state}")
    if not counts:
        print("no deploy is affected")
    order = (State.LOST, State.UNKNOWN, State.REVERTED, State.SUPERSEDED)
    worst = [each for state in order for each in rows[state]][:limit]
    if worst:
        print()
        print_table(
            {"Deploy": False, "Site": True, "State": False, "Why": True},
            [[each.deploy_id, each.site or each.site_id, each.state, each.why] for each in worst],
        )
