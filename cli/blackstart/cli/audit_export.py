"""`blackstart audit export`: the trail as a file that other programs read."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blackstart.cli.audit_options import (
    WORDS,
    Action,
    Login,
    OfRequest,
    Since,
    the_trail,
    wanted_lines,
)
from blackstart.cli.guard_options import DataFolder
from blackstart.cli.ledgers import hint_at

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, BinaryIO

    from blackstart.guard.audit import AuditReading, Wanted

COLUMNS = ["writer", "seq", "at", "action", "login", "person", "client", "database", "kind"]
COLUMNS += ["request", "why", "command"]
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


class Form(StrEnum):
    """How lines are written."""

    JSONL = "jsonl"
    CSV = "csv"


def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Replaced whole, or not at all.")],
    form: Annotated[
        Form | None,
        typer.Option(
            "--format",
            help="JSON lines, or CSV for a spreadsheet.  [dim]default by FILE's ending[/]",
            show_default=False,
        ),
    ] = None,
    login: Login = None,
    since: Since = None,
    action: Action = None,
    request: OfRequest = None,
    data: DataFolder = None,
) -> None:
    """Write the trail, writer by writer and oldest first, to a file.

    What can be read is written even where the trail is not whole; then it ends with 1.
    """
    from blackstart.cli.console import doing
    from blackstart.durable import replacing_file
    from blackstart.store.backend import storage_errors

    reading = the_trail(data).reading()
    wanted = wanted_lines(login, since, action, request)
    as_csv = (form or (Form.CSV if file.suffix == ".csv" else Form.JSONL)) is Form.CSV
    with (
        storage_errors(f"cannot write {file}"),
        replacing_file(file) as out,
        doing("reading the audit trail"),
    ):
        count = asyncio.run(_write(reading, wanted, out, _csv if as_csv else _json))
    print(f"{WORDS.counted(count)} in {file}")
    hint_at(reading.problems, WORDS)
    if reading.problems:
        raise typer.Exit(1)


async def _write(
    reading: AuditReading, wanted: Wanted, out: BinaryIO, encode: Callable[[dict[str, Any]], str]
) -> int:
    from blackstart.guard.audit import lines_of

    count = 0
    if encode is _csv:
        out.write(_csv_line([*COLUMNS, "details"]).encode())
    async for line in lines_of(reading, wanted):
        out.write(encode(line.row()).encode())
        count += 1
    return count


def _json(row: dict[str, Any]) -> str:
    return json.dumps(row) + "\n"


def _csv(row: dict[str, Any]) -> str:
    """The most wanted fields in columns of their own, all others as JSON in the last one."""
    rest = {key: value for key, value in row.items() if key not in COLUMNS}
    cells = [_cell(row.get(name)) for name in COLUMNS]
    return _csv_line([*cells, json.dumps(rest) if rest else ""])


def _cell(value: Any) -> str:
    """What others wrote must not become a formula."""
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value)
    return f"'{text}" if text.startswith(FORMULA) and isinstance(value, str) else text


def _csv_line(cells: list[str]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()
