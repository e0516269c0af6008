"""`blackstart incidents`: which incident days can be drilled."""

from __future__ import annotations

from typing import Annotated

import typer


def incidents(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print them as one JSON array instead of a list.")
    ] = False,
) -> None:
    """List the incidents that can be drilled."""
    from rich.table import Table
    from rich.text import Text

    from blackstart.cli.console import out
    from blackstart.drills.incidents import CATALOGUE

    if as_json:
        import json

        rows = [{"name": each.name, "title": each.title} for each in CATALOGUE.values()]
        print(json.dumps(rows, indent=2))
        return
    listing = Table.grid(padding=(0, 2, 0, 0))
    for each in CATALOGUE.values():
        listing.add_row(Text(each.name, style="bold"), each.title)
    out.print(listing)
    out.print()
    out.print("Run one with [bold]blackstart drill INCIDENT[/bold].")
