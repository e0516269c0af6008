"""`blackstart audit show`: what the trail says, the newest lines, and each new one as it comes."""

from __future__ import annotations

import sys
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
from blackstart.cli.guard_options import ENDED_BY_SIGTERM, DataFolder
from blackstart.cli.ledgers import hint_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from blackstart.cli.audit_tail import Tail
    from blackstart.guard.audit import AuditLine

LOOK_S = 1.0


def show(
    login: Login = None,
    since: Since = None,
    action: Action = None,
    request: OfRequest = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="How many at most.")] = 50,
    follow: Annotated[
        bool, typer.Option("--follow", help="Then print new ones as they come. Ctrl-C ends it.")
    ] = False,
    data: DataFolder = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line.")] = False,
) -> None:
    """Show the newest lines of the trail, the newest last."""
    from blackstart import service
    from blackstart.cli.audit_drawing import Drawing, print_row
    from blackstart.cli.audit_tail import Tail

    tail = Tail(the_trail(data), wanted_lines(login, since, action, request))
    write = print_row if as_json else Drawing().line
    if service.run(_show(tail, limit, write, follow=follow)) is None:
        raise typer.Exit(ENDED_BY_SIGTERM)


async def _show(
    tail: Tail, limit: int, write: Callable[[AuditLine], None], *, follow: bool
) -> bool:
    from blackstart.cli.console import doing
    from blackstart.clock import WallClock

    with doing("reading the audit trail"):
        lines, older, problems = await tail.newest(limit)
    for line in lines:
        write(line)
    if not lines and not follow:
        print("the audit trail has no such line", file=sys.stderr)
    if older:
        print(f"there are {older:,} older ones: give --limit", file=sys.stderr)
    hint_at(problems, WORDS)
    clock = WallClock()
    while follow:
        await clock.sleep(LOOK_S)
        for line in await tail.news():
            write(line)
    return True
