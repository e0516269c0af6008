"""The command line's entry: which subcommands there are, and how each way out of one looks."""

from __future__ import annotations

import copy
import functools
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NoReturn

import typer
from typer.main import get_command, get_command_name

from blackstart.cli.audit import audit
from blackstart.cli.build import build
from blackstart.cli.cdn import cdn
from blackstart.cli.channel import channel
from blackstart.cli.drill import drill
from blackstart.cli.guard import guard
from blackstart.cli.hook import hook
from blackstart.cli.incidents import incidents
from blackstart.cli.leaving import leave
from blackstart.cli.pointer_log import pointer_log
from blackstart.cli.recover import recover
from blackstart.cli.safeguards import safeguards
from blackstart.cli.serve import serve
from blackstart.cli.shell import console
from blackstart.cli.site import site
from blackstart.cli.snapshot import snapshot
from blackstart.cli.test import test
from blackstart.cli.token import token
from blackstart.cli.up import up
from blackstart.errors import BlackstartError, UsageError

PASS_ON = {"ignore_unknown_options": True, "allow_interspersed_args": False}

app = typer.Typer(
    name="blackstart",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.command()(drill)
app.command()(incidents)
app.command()(up)
app.command()(serve)
app.add_typer(cdn)
app.command()(safeguards)
app.add_typer(site)
app.add_typer(build)
app.add_typer(hook)
app.add_typer(token)
app.add_typer(recover)
app.add_typer(pointer_log)
app.add_typer(snapshot)
app.add_typer(guard)
app.add_typer(audit)
app.command()(channel)
app.command()(console)
app.command(context_settings={**PASS_ON, "help_option_names": ["--help"]})(test)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"blackstart {version('blackstart')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def blackstart(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """A small deploy platform that breaks as a real one did, and the drills that bring it back."""
    if context.invoked_subcommand is None:
        print(context.get_help())


@functools.cache
def command_line(first: str) -> Callable[..., Any]:
    """What is run: all commands, or only the one that the first argument names.

    Making a command of a function takes its time, and all of them take longer than the
    rest of the start.
    """
    commands = [
        each
        for each in app.registered_commands
        if each.callback and get_command_name(each.callback.__name__) == first
    ]
    groups = [
        each
        for each in app.registered_groups
        if each.typer_instance and each.typer_instance.info.name == first
    ]
    if not commands and not groups:
        return get_command(app)
    part = copy.copy(app)
    part.registered_commands, part.registered_groups = commands, groups
    return get_command(part)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0, 1 when it failed, 2 for bad usage, 130 after Ctrl-C.

    Without arguments it runs those of this process, and ends it.
    """
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has seen enough; what is left of it goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    if arguments is None:
        leave(code)
    sys.exit(code)


def _run(arguments: Sequence[str] | None) -> int:
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        run = command_line(given[0] if given else "")
        code = run(args=given, prog_name="blackstart", standalone_mode=False)
    except BlackstartError as error:
        _complain(str(error))
        return 2 if isinstance(error, UsageError) else 1
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        command = "blackstart" if context is None else context.command_path
        message = error.format_message().replace("Value error, ", "").rstrip(".")
        _complain(f"{message} (see `{command} --help`)")
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return 130
    return code if isinstance(code, int) else 0


def _complain(text: str) -> None:
    print("error:", " ".join(text.split()), file=sys.stderr)
