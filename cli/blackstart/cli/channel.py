"""`blackstart channel`: what the guard told people, in the terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blackstart.cli.guard_options import ENDED_BY_SIGTERM, DataFolder

if TYPE_CHECKING:
    from blackstart.cli.days import Days
    from blackstart.guard.channel import ChannelFile, ChannelLine

LOOK_S = 0.5
STYLES = {
    "wants to run": "bold yellow",
    "approved by": "green",
    "rejected by": "red",
    "the glass is broken": "bold red",
    "is unknown": "bold red",
    "does not run": "red",
    "console": "cyan",
}
"""How a line's first words look, by what stands in them."""


def channel(
    limit: Annotated[int, typer.Option(min=0, metavar="N", help="How many at most.")] = 20,
    follow: Annotated[
        bool, typer.Option("--follow", help="Then print new ones as they come. Ctrl-C ends it.")
    ] = False,
    data: DataFolder = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line.")] = False,
) -> None:
    """Show what the guard told: held writes, what people said about them, what ran alone.

    This reads the guard's folder, on its machine. To answer: `blackstart guard approve` or
    `reject`, the guard's web page, or a button in a channel with signed callbacks.
    """
    from blackstart import service

    if service.run(_show(_file(data), limit, follow=follow, as_json=as_json)) is None:
        raise typer.Exit(ENDED_BY_SIGTERM)


def _file(data: Path | None) -> ChannelFile:
    """The channel of the guard that has this folder. Raises: UsageError."""
    from blackstart.errors import UsageError
    from blackstart.guard.channel import ChannelFile
    from blackstart.guard.guardroom import Places
    from blackstart.guard.settings import GuardSettings
    from blackstart.settings import load

    settings = load(GuardSettings) if data is None else load(GuardSettings, guard_data=data)
    places = Places(settings.guard_data)
    if not places.folder.is_dir():
        hint = "see --data or BLACKSTART_GUARD_DATA"
        raise UsageError(f"no guard was at {places.folder}", hint=hint)
    return ChannelFile(places.channel)


async def _show(file: ChannelFile, limit: int, *, follow: bool, as_json: bool) -> bool:
    from blackstart.cli.days import Days
    from blackstart.clock import WallClock

    days, clock = Days(), WallClock()
    lines = file.lines()
    last = max((line.number for line in lines), default=0)
    if not lines and not follow:
        print("nothing was told yet", file=sys.stderr)
    lines = lines[len(lines) - min(limit, len(lines)) :]
    while True:
        for line in lines:
            last = line.number
            if as_json:
                print(line.encode().decode(), end="", flush=True)
            else:
                _draw(days, line)
        if not follow:
            return True
        await clock.sleep(LOOK_S)
        lines = file.lines(last)


def _draw(days: Days, line: ChannelLine) -> None:
    from rich.text import Text

    from blackstart.cli.tables import plain

    first, *rest = line.text.splitlines() or [""]
    styled = [(first, _style(first)), *((text, _inner_style(text)) for text in rest)]
    days.print(line.at, [(Text(plain(text), style=style),) for text, style in styled])


def _style(first: str) -> str:
    return next((style for words, style in STYLES.items() if words in first), "bold")


def _inner_style(text: str) -> str:
    """A preview's line: warnings, and what is before and after."""
    return {"!": "bold red", "-": "red", "+": "green"}.get(text.lstrip()[:1], "")
