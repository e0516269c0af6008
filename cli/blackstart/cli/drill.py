"""`blackstart drill`: replay an incident day and judge what emerged."""

from __future__ import annotations

import asyncio
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from blackstart.drills.drill import Drill, Order
    from blackstart.drills.journal import Journal
    from blackstart.drills.result import Result

ENDED_BY_SIGTERM = 143


def drill(
    name: Annotated[
        str, typer.Argument(metavar="INCIDENT", help="`blackstart incidents` lists them.")
    ],
    sites: Annotated[int, typer.Option(help="How many sites the fleet has, 20 to 20000.")] = 400,
    seed: Annotated[int, typer.Option(help="The same seed gives the same day.")] = 1,
    safeguards: Annotated[
        str,
        typer.Option("--with", metavar="A,B", help="Safeguards to switch on; `all` for all."),
    ] = "",
    repo: Annotated[
        list[str] | None,
        typer.Option(
            help="A git repository of yours, put in the fleet and hit by the fault; repeatable."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as one JSON object.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="A folder to keep journal and result in.")
    ] = None,
) -> None:
    """Replay an incident day in seconds, and check what emerged against the review.

    Exit code: 0 when every check passed, 1 when one failed or is unknown, 2 for bad usage.
    """
    import json

    from blackstart.cli.drill_report import print_report
    from blackstart.drills.result import prepare_out, write_out

    order = _order(name, sites, seed, safeguards, repo or [])
    if out is not None:
        prepare_out(out)
    result, journal = _run(order, quiet=as_json)
    if out is not None:
        write_out(out, result, journal.lines())
    if as_json:
        print(json.dumps(result.to_json()))
    else:
        print_report(result, order.incident)
    if not result.passed:
        from blackstart.cli.console import err

        err.print(f"repeat with: {repeat_command(order, repo or [])}", soft_wrap=True)
        raise typer.Exit(1)


def _order(name: str, sites: int, seed: int, safeguards: str, repositories: list[str]) -> Order:
    """Everything that can be wrong with what was asked is found here, before anything starts.

    Raises: UsageError.
    """
    from blackstart.drills.drill import Order
    from blackstart.drills.incidents import find_incident
    from blackstart.drills.world.fleet import check_site_count
    from blackstart.drills.world.repositories import read_user_repository
    from blackstart.safeguards import Safeguards

    incident = find_incident(name)
    switched_on = Safeguards.parse(safeguards)
    check_site_count(sites)
    found = [read_user_repository(path) for path in repositories]
    return Order(incident, sites, seed, switched_on, found)


def _run(order: Order, *, quiet: bool) -> tuple[Result, Journal]:
    from pymongo.errors import PyMongoError

    from blackstart.drills.drill import Drill
    from blackstart.errors import DatabaseError, StorageError
    from blackstart.service import run

    quiet_logs()
    try:
        finished = run(_watched(Drill(order), quiet=quiet))
    except PyMongoError as error:
        raise DatabaseError(
            f"MongoDB failed during the drill: {str(error).splitlines()[0][:200]}"
        ) from error
    except OSError as error:
        raise StorageError(f"the disk failed during the drill: {error}") from error
    if finished is None:
        raise typer.Exit(ENDED_BY_SIGTERM)
    return finished


async def _watched(drill: Drill, *, quiet: bool) -> tuple[Result, Journal]:
    """Run the drill, and show it while it runs."""
    from blackstart.cli.drill_live import watch
    from blackstart.drills.session import run_drill

    watching = asyncio.create_task(watch(drill, quiet=quiet))
    try:
        return await run_drill(drill, os.environ.get("BLACKSTART_MONGODB_URI") or None)
    finally:
        watching.cancel()
        await asyncio.wait([watching])


def quiet_logs() -> None:
    """The services log what they do; in a drill the journal has all that, so only errors show."""
    import logging

    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


def repeat_command(order: Order, repositories: list[str]) -> str:
    """The command that gives the same day again."""
    words = ["./blackstart", "drill", order.incident.name]
    words += ["--sites", str(order.sites), "--seed", str(order.seed)]
    if list(order.safeguards):
        words += ["--with", ",".join(order.safeguards)]
    for path in repositories:
        words += ["--repo", path]
    return shlex.join(words)
