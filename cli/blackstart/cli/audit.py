"""`blackstart audit`: look into the guard's audit trail, verify it, and take it elsewhere."""

from __future__ import annotations

import typer

from blackstart.cli.audit_export import export
from blackstart.cli.audit_show import show
from blackstart.cli.audit_verify import verify

audit = typer.Typer(
    name="audit",
    rich_markup_mode="rich",
    help="Look into the guard's audit trail: who asked the database for what, and what became of"
    " it. This reads the guard's folder and the object store that the trail is moved to, on the"
    " machine where they are; the guard need not run.",
)
audit.command()(show)
audit.command()(verify)
audit.command()(export)
