"""`blackstart pointer-log show`: what the log says, newest first."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blackstart.cli.ledgers import AsJson, hint_at, newest, read_since
from blackstart.cli.pointer_log_options import WORDS, the_settings

if TYPE_CHECKING:
    from datetime import datetime

    from blackstart.store.pointers import LoggedPointer, LogProblem

# So that a line with a whole deploy id fits into 80 columns.
SITE_DIGITS, COMMIT_DIGITS, TREE_DIGITS = 7, 7, 6


@dataclass(frozen=True)
class _Wanted:
    site: str
    deploy: str
    since: datetime | None
    limit: int

    def takes(self, pointer: LoggedPointer) -> bool:
        return (
            pointer.site_id.startswith(self.site)
            and pointer.deploy_id.startswith(self.deploy)
            and (self.since is None or pointer.at >= self.since)
        )


def show(
    site: Annotated[
        str, typer.Option(metavar="ID", help="Of this site alone; its first digits will do.")
    ] = "",
    deploy: Annotated[
        str, typer.Option(metavar="ID", help="Of this deploy alone; its first digits will do.")
    ] = "",
    since: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="Set at this time or later: 2017-02-02T17:20Z, or 90m, 12h, 7d ago.",
        ),
    ] = "",
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="How many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show which deploy got which tree, and when, newest first."""
    from blackstart.cli.console import doing
    from blackstart.cli.tables import print_json

    wanted = _Wanted(site, deploy, read_since(since) if since else None, limit)
    with doing("reading the pointer log"):
        pointers, more, problems = asyncio.run(_read(wanted))
    if as_json:
        print_json([as_fields(pointer) for pointer in pointers])
    elif pointers:
        _print(pointers)
    else:
        print("the log has no such pointer", file=sys.stderr)
    if more:
        print(f"there are {more:,} older ones: give --limit", file=sys.stderr)
    hint_at(problems, WORDS)


def as_fields(pointer: LoggedPointer) -> dict[str, Any]:
    """A pointer as JSON, with its place in the log."""
    place = {
        "writer": pointer.segment.writer,
        "segment": pointer.segment.number,
        "seq": pointer.seq,
    }
    return pointer.fields() | place


async def _read(wanted: _Wanted) -> tuple[list[LoggedPointer], int, list[LogProblem]]:
    """The newest ones that are wanted, how many more there are, and the log's problems."""
    from blackstart.store.pointers import read_pointer_log

    _, objects, folder = the_settings()
    reading = read_pointer_log(objects, folder)
    taken = (pointer async for pointer in reading if wanted.takes(pointer))
    found, more = await newest(
        taken, wanted.limit, lambda pointer: (pointer.at, pointer.segment, pointer.seq)
    )
    return found, more, reading.problems


def _print(pointers: list[LoggedPointer]) -> None:
    from blackstart.cli.tables import print_table

    columns = ("set (UTC)", "site", "deploy", "no.", "commit", "tree")
    rows = (
        (
            f"{pointer.at:%Y-%m-%d %H:%M}",
            pointer.site_id[:SITE_DIGITS],
            pointer.deploy_id,
            str(pointer.number),
            (pointer.commit_ref or "-")[:COMMIT_DIGITS],
            pointer.tree[:TREE_DIGITS],
        )
        for pointer in pointers
    )
    print_table({name: name == "deploy" for name in columns}, rows)
