"""`blackstart console`: a shell with the guarded database, control API and recovery tools."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blackstart.cli.api_options import Api, TokenFile
from blackstart.cli.guard_door import LoginName, TlsCa, Where, the_door
from blackstart.errors import BlackstartError

if TYPE_CHECKING:
    from blackstart.cli.shell_tools import Toolbox


def console(
    command: Annotated[
        str | None,
        typer.Option("--command", "-c", metavar="CODE", help="Run this Python, and end."),
    ] = None,
    guard: Where = None,
    login: LoginName = None,
    tls_ca: TlsCa = None,
    api: Api = None,
    token_file: TokenFile = None,
) -> None:
    """Open a Python shell (IPython) at the database, through the guard and as yourself.

    Its beginning and its end are told in the guard's channel and on record, and so is each command
    to the database. What would be held elsewhere is held here. Python that comes by stdin is run.
    """
    from blackstart.cli.shell_announcement import Announcement
    from blackstart.cli.shell_tools import Toolbox

    door = the_door(guard, login, tls_ca)
    with Announcement(door), Toolbox(door, api, token_file) as tools:
        if command is not None:
            _run(command, "<command>", tools.names())
        elif not sys.stdin.isatty():
            _run(sys.stdin.read(), "<stdin>", tools.names())
        else:
            _interact(tools)


def _run(code: str, name: str, names: dict[str, Any]) -> None:
    """As `python -c` does; what is raised is shown as there, but for errors of ours: a line."""
    import traceback

    try:
        exec(compile(code, name, "exec"), {"__name__": "__main__", **names})
    except BlackstartError:
        raise
    except Exception:
        traceback.print_exc()
        raise typer.Exit(1) from None


def _interact(tools: Toolbox) -> None:
    from IPython import start_ipython
    from traitlets.config import Config

    config = Config()
    config.TerminalInteractiveShell.banner1 = tools.banner()
    config.TerminalInteractiveShell.confirm_exit = False
    start_ipython(argv=[], user_ns=tools.names(), config=config, display_banner=True)
