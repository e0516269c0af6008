"""What commands print besides plain lines: JSON for scripts, tables that fit in 80 columns."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime


def print_json(value: object) -> None:
    """One value on stdout."""
    print(json.dumps(value, indent=2))


def print_table(columns: Mapping[str, bool], rows: Iterable[Sequence[str | None]]) -> None:
    """Rows under the names of their columns; True marks a column that may be folded.

    Where nobody says how wide the output is, as in a pipe, a row is one line: grep reads those.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from blackstart.cli.console import out

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    for name, folds in columns.items():
        table.add_column(name, overflow="fold" if folds else "ellipsis", no_wrap=not folds)
    for row in rows:
        table.add_row(*(Text(plain(cell or "")) for cell in row))
    usual = out.width
    if not out.is_terminal and "COLUMNS" not in os.environ:
        # A limit that no table comes near: it then takes what it needs.
        out.width = 1 << 20
    out.print(table)
    out.width = usual


def print_fields(fields: Mapping[str, object]) -> None:
    """Names and values, one below the other; those without a value are left out."""
    from rich.table import Table
    from rich.text import Text

    from blackstart.cli.console import out

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in fields.items():
        if value not in (None, ""):
            table.add_row(name, Text(plain(str(value))))
    out.print(table)


def minute(at: str | None) -> str:
    """A moment of the API as `2017-02-02 15:50`, in UTC; blank for none."""
    if not at:
        return ""
    moment = datetime.fromisoformat(at).astimezone(UTC)
    return f"{moment:%Y-%m-%d %H:%M}"


def plain(text: str) -> str:
    """Without control characters: what others wrote must not steer a terminal."""
    return "".join(
        char if char.isprintable() or char == "\t" else "\N{REPLACEMENT CHARACTER}" for char in text
    )
