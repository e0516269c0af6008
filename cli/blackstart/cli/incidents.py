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
    from blackstart.cli.console import out
    from blackstart.drills.incidents import CATALOGUE

    if as_json:
        import json

        rows = [{"name": each.name, "title": each.title} for each in CATALOGUE.values()]
        print(json.dumps(rows, indent=2))
        return
    for each in CATALOGUE.values():
        out.print(f"[bold]{each.name}[/bold]  {each.title}")
    out.print()
    out.print("Run one with [bold]blackstart drill NAME[/bold].")
