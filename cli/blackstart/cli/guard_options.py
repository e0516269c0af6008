"""What the commands of the guard share: options, and where the guard is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blackstart.errors import UsageError

ENDED_BY_SIGTERM = 143

# The settings that have an option, and what it is called.
OPTIONS = {
    "listen": "--listen",
    "mongodb_uri": "--upstream",
    "guard_data": "--data",
    "guard_wait_s": "--wait",
    "guard_advertise": "--advertise",
    "guard_tls_cert": "--tls-cert",
    "guard_max_connections": "--max-connections",
    "guard_rules": "--rules",
    "guard_http": "--http",
}


def option(help: str, metavar: str, default: str = "") -> typer.models.OptionInfo:
    """An option that is None when it isn't given, so that the environment counts."""
    note = f"  [dim]default {default}[/]" if default else ""
    made: typer.models.OptionInfo = typer.Option(
        metavar=metavar, help=help + note, show_default=False
    )
    return made


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DataFolder = Annotated[
    Path | None, option("The guard's folder.", "DIR", "BLACKSTART_GUARD_DATA or .blackstart/guard")
]


def refuse_options(context: typer.Context) -> None:
    """Options of a guard mean nothing to a command that speaks to one. Raises: UsageError."""
    for parameter in context.command.params:
        if parameter.name and context.params.get(parameter.name) not in (None, False):
            raise UsageError(
                f"{parameter.opts[0]} is for running a guard, not for {context.invoked_subcommand}",
                hint=f"see `blackstart guard {context.invoked_subcommand} --help`",
            )
