"""`blackstart up`: the whole platform as processes on this machine."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blackstart.cli.up_addresses import print_addresses, print_json
from blackstart.cli.up_folder import claim_folder
from blackstart.cli.up_platform import Plan, Platform

if TYPE_CHECKING:
    from blackstart.settings import Settings


def up(
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Keep database, files, caches and logs here. Without it all is gone at the end.",
            show_default=False,
        ),
    ] = None,
    nodes: Annotated[int, typer.Option(metavar="N", min=1, max=64, help="How many CDN nodes.")] = 2,
    workers: Annotated[
        int, typer.Option(metavar="N", min=0, max=64, help="How many build workers.")
    ] = 1,
    port: Annotated[
        int,
        typer.Option(
            metavar="P",
            min=0,
            max=65_000,
            help="Control API here, the nodes on the ports after it; 0 takes free ones.",
        ),
    ] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the addresses as one JSON line, for scripts.")
    ] = False,
) -> None:
    """Run the platform on this machine: database, origin, control API, nodes, workers.

    Ctrl-C ends it all. BLACKSTART_MONGODB_URI names a MongoDB to use instead of the embedded one.
    """
    from blackstart import service
    from blackstart.settings import Settings, load

    settings = load(Settings)
    settings.switches()
    service.run(_up(Plan(data, nodes, workers, port, as_json), settings))


async def _up(plan: Plan, settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        folder = await claim_folder(plan.data, stack)
        platform = Platform(plan, settings, folder, stack)
        await platform.start()
        if plan.as_json:
            print_json(platform)
        else:
            print_addresses(platform)
        await platform.watch()
