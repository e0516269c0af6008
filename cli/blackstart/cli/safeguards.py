"""`blackstart safeguards`: which protections there are, and which can be switched on."""

from __future__ import annotations

from typing import Annotated

import typer


def safeguards(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print them as one JSON array instead of a table.")
    ] = False,
) -> None:
    """List the safeguards: what happens without each one, and with it."""
    if as_json:
        _print_json()
    else:
        _print_table()


def _print_json() -> None:
    import json

    from blackstart.safeguards import CATALOGUE

    rows = [
        {"name": each.name, "without": each.off, "with": each.on, "available": each.built}
        for each in CATALOGUE
    ]
    print(json.dumps(rows, indent=2))


def _print_table() -> None:
    from rich import box
    from rich.table import Table

    from blackstart.cli.console import out
    from blackstart.safeguards import CATALOGUE

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    table.add_column("Safeguard", no_wrap=True, style="bold")
    table.add_column("Without it", ratio=1)
    table.add_column("With it", ratio=1)
    for each in CATALOGUE:
        name = each.name if each.built else f"{each.name} *"
        table.add_row(name, each.off, each.on, style=None if each.built else "dim")
    out.print(table)
    out.print()
    if not all(each.built for each in CATALOGUE):
        out.print("* planned: it cannot be switched on yet", style="dim")
    out.print("Servers run with all of them, or with those that BLACKSTART_SAFEGUARDS names.")
