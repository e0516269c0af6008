"""`blackstart recover`: find what is broken, plan the way back, apply it, undo it, verify it."""

from __future__ import annotations

import typer

from blackstart.cli.recover_apply import apply
from blackstart.cli.recover_find import find
from blackstart.cli.recover_plan import plan
from blackstart.cli.recover_undo import undo
from blackstart.cli.recover_verify import verify

recover = typer.Typer(
    name="recover",
    rich_markup_mode="rich",
    help="Find broken deploys, plan how each comes back, apply the plan, undo it, verify it. This "
    "talks straight to the database and the object store that BLACKSTART_MONGODB_URI, "
    "BLACKSTART_DATABASE and BLACKSTART_OBJECT_STORE name, not to the API.",
)
recover.command()(find)
recover.command()(plan)
recover.command()(apply)
recover.command()(undo)
recover.command()(verify)
