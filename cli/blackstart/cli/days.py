"""Lines with a time, printed under the day that they are of."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

from rich.table import Table
from rich.text import Text

from blackstart.cli.console import out

TIME_WIDTH = 8


class Days:
    """Prints them one after the other, each new day with a heading."""

    def __init__(self, *widths: int) -> None:
        """`widths` are those of the columns between the time and the last one."""
        self._widths = widths
        self._day: date | None = None

    def print(self, at: datetime, rows: Iterable[tuple[Text, ...]]) -> None:
        """The time stands before the first row."""
        if at.date() != self._day:
            self._day = at.date()
            out.print(f"[bold]{self._day}[/] [dim](UTC)[/]")
        table = Table.grid(padding=(0, 1, 0, 0))
        for width in (TIME_WIDTH, *self._widths):
            table.add_column(width=width, overflow="fold")
        table.add_column(overflow="fold")
        for number, row in enumerate(rows):
            table.add_row(Text("" if number else f"{at:%H:%M:%S}", style="dim"), *row)
        out.print(table)
