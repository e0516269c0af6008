"""`blackstart recover find`: list what is broken, by kind."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blackstart.cli.progress import bar
from blackstart.cli.recover_tools import Tools, deploy_count, with_tools
from blackstart.cli.snapshot_options import complain

if TYPE_CHECKING:
    from blackstart.recovery.find import Finding


def find(
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every file and compare its digest.")
    ] = False,
    files: Annotated[
        bool, typer.Option("--files/--no-files", help="Look for files that never arrived.")
    ] = True,
    limit: Annotated[
        int, typer.Option(min=0, metavar="N", help="Rows of a table; all are counted.")
    ] = 20,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each finding as a line of JSON, as it is found.")
    ] = False,
) -> None:
    """List what is broken: deploys, sites in the order of help, files, requests that fail.

    It reads the database of BLACKSTART_MONGODB_URI and changes nothing.
    """
    with_tools(lambda tools: _find(tools, deep=deep, files=files, limit=limit, as_json=as_json))


async def _find(tools: Tools, *, deep: bool, files: bool, limit: int, as_json: bool) -> None:
    from blackstart.recovery.find import Look, as_row
    from blackstart.recovery.find import find as search

    counts: Counter[str] = Counter()
    first: dict[str, list[Finding]] = {}
    expected = await deploy_count(tools.store)
    if not expected:
        # A wrong name, or everything is gone: that nothing is broken says little then.
        complain(
            f"database {tools.settings.database} holds NO DEPLOYS: see BLACKSTART_DATABASE "
            "and BLACKSTART_MONGODB_URI"
        )
    with bar("looking at deploys", expected) as progress:
        look = Look(files=files, deep=deep)
        async for finding in search(tools.store, tools.objects, look, progress=progress.reach):
            if as_json:
                print(json.dumps(as_row(finding)))
                continue
            counts[finding.kind] += 1
            rows = first.setdefault(finding.kind, [])
            if len(rows) < limit:
                rows.append(finding)
    if not as_json:
        _print_tables(counts, first, files=files)


def _print_tables(counts: Counter[str], first: dict[str, list[Finding]], *, files: bool) -> None:
    from blackstart.cli.console import out
    from blackstart.cli.tables import print_table

    for kind, (title, columns) in TABLES.items():
        if not counts[kind]:
            continue
        out.print(f"[bold]{title}[/bold]: {counts[kind]:,}")
        rows = [
            [_cell(getattr(each, name)) for name, _ in columns.values()] for each in first[kind]
        ]
        if rows:
            print_table({name: folds for name, (_, folds) in columns.items()}, rows)
        if counts[kind] > len(rows):
            out.print(f"and {counts[kind] - len(rows):,} more: see --limit and --json", style="dim")
        out.print()
    if not counts:
        out.print("Nothing is broken.")
    if not files:
        out.print("Files were not looked at.", style="dim")


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, list):
        return ", ".join(value[:3]) + (f" and {len(value) - 3} more" if len(value) > 3 else "")
    return "" if value is None else str(value)


Columns = dict[str, tuple[str, bool]]
"""Heading -> the finding's field, and whether it may be folded."""

TABLES: dict[str, tuple[str, Columns]] = {
    "site": (
        "Sites that were hit, those that are down first, in the order of help",
        {
            "Site": ("site", True),
            "Plan": ("plan", False),
            "Down": ("down", False),
            "Invalid": ("invalid_deploys", False),
            "Files missing": ("deploys_missing_files", False),
        },
    ),
    "invalid-deploy": (
        "Deploys with invalid metadata",
        {
            "Deploy": ("deploy_id", False),
            "Site": ("site", True),
            "No.": ("number", False),
            "Shown": ("shown", False),
            "Why": ("reason", True),
        },
    ),
    "missing-files": (
        "Deploys with files that never arrived",
        {
            "Deploy": ("deploy_id", False),
            "Tree gone": ("tree_unreadable", False),
            "Files": ("paths", True),
        },
    ),
    "not-judged": (
        "Deploys whose files could not be looked at",
        {"Deploy": ("deploy_id", False), "Why": ("why", True)},
    ),
    "invalid-build": (
        "Invalid builds",
        {"Build": ("build_id", False), "Why": ("reason", True)},
    ),
    "invalid-site": (
        "Invalid sites",
        {"Site": ("site", True), "Id": ("site_id", False), "Why": ("reason", True)},
    ),
    "failing-response": (
        "Requests that fail (with tolerant-api only those marked so)",
        {"Request": ("path", True), "Always": ("always", False)},
    ),
}
