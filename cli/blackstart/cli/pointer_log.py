"""`blackstart pointer-log`: look into the log of all pointers, and bring lost ones back from it."""

from __future__ import annotations

import typer

from blackstart.cli.pointer_log_rebuild import rebuild
from blackstart.cli.pointer_log_show import show
from blackstart.cli.pointer_log_verify import verify

pointer_log = typer.Typer(
    name="pointer-log",
    rich_markup_mode="rich",
    help="Look into the log of all pointers, and bring lost ones back from it. This reads the "
    "object store that BLACKSTART_OBJECT_STORE names and the folder of BLACKSTART_POINTER_LOG, "
    "on the machine where that is; rebuild also talks to the database.",
)
pointer_log.command()(show)
pointer_log.command()(verify)
pointer_log.command()(rebuild)
