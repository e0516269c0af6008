"""`blackstart recover plan`: write down how each broken deploy comes back, or show such a plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blackstart.cli.progress import bar
from blackstart.cli.recover_tools import Tools, deploy_count, with_tools

if TYPE_CHECKING:
    from blackstart.model import Site
    from blackstart.recovery.plan import Header, PlanFile, Planner, Wish
    from blackstart.recovery.plan.ways import BuildCheck
    from blackstart.recovery.snapshots import Snapshots


def plan(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Where the plan is written, or is.")],
    show: Annotated[
        bool, typer.Option("--show", help="Show the plan that is in FILE as a table.")
    ] = False,
    route: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROUTE",
            help="Only this route (repeatable): snapshot, pointer-log, tree-scan, announced, "
            "push, rebuild, revert.",
        ),
    ] = None,
    site: Annotated[
        list[str] | None,
        typer.Option(metavar="SITE", help="Only this site, by name or id (repeatable)."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Ask whether files exist, but do not read them.")
    ] = False,
    limit: Annotated[int, typer.Option(min=0, metavar="N", help="Rows to show; 0 means all.")] = 40,
) -> None:
    """Plan how each broken deploy comes back, best route first, and change nothing.

    Sources are the snapshots, the pointer log and the trees in
    BLACKSTART_OBJECT_STORE, then git and older deploys. `recover apply` takes the file.
    """
    if not show:
        with_tools(lambda tools: _make(tools, path, route or [], site or [], quick=quick))
    _show(path, limit)


async def _make(
    tools: Tools, path: Path, routes: list[str], sites: list[str], *, quick: bool
) -> None:
    wish = await _wish(tools, routes, sites, quick=quick)
    planner = await _planner(tools)
    with bar("planning", await deploy_count(tools.store)) as progress:
        await planner.make(path, wish, progress=progress.reach)


async def _wish(tools: Tools, routes: list[str], sites: list[str], *, quick: bool) -> Wish:
    from blackstart.errors import UsageError
    from blackstart.recovery.plan import Wish
    from blackstart.recovery.sources import Route

    choice = [route for route in Route if route is not Route.NONE]
    for name in routes:
        if name not in choice:
            raise UsageError(f"no such route: {name!r}", hint=f"choose from {', '.join(choice)}")
    ids = [await _site_id(tools, name) for name in sites]
    wanted = [Route(name) for name in routes] or choice
    return Wish(routes=wanted, sites=ids or None, deep=not quick)


async def _site_id(tools: Tools, name: str) -> str:
    from blackstart.errors import NotFoundError

    store = tools.store.sites
    site = await store.find(name) or await store.by_name(name)
    if site is None:
        raise NotFoundError(f"no site {name!r}")
    return site.id


async def _planner(tools: Tools) -> Planner:
    from blackstart.recovery.plan import Planner
    from blackstart.recovery.sources import every_source

    settings = tools.settings
    local = settings.pointer_log if settings.pointer_log.is_dir() else None
    sources = await every_source(tools.store, tools.objects, _snapshots(tools), pointer_log=local)
    return Planner(
        tools.store,
        tools.objects,
        sources,
        clock=tools.clock,
        seed=tools.seed,
        safeguards=settings.switches(),
        can_build=_build_check(tools),
    )


def _snapshots(tools: Tools) -> Snapshots:
    """Sealed ones can be read when the environment has their key."""
    from blackstart.recovery.settings import RecoverySettings
    from blackstart.recovery.snapshots import Sealer, Snapshots
    from blackstart.settings import load

    key = load(RecoverySettings).snapshot_key.get_secret_value()
    return Snapshots(tools.objects, sealer=Sealer.from_text(key) if key else None)


def _build_check(tools: Tools) -> BuildCheck:
    """Fetches the commit that is to be built, as a worker would."""
    from tempfile import TemporaryDirectory

    from blackstart.builder.git import Git
    from blackstart.errors import RepositoryError, UsageError

    git = Git(tools.settings.git_cache, tools.settings.repository_policy())

    async def check(site: Site, commit_ref: str | None) -> str:
        assert site.repo is not None
        try:
            if commit_ref is None:
                await git.head(site.repo)
                return ""
            with TemporaryDirectory(prefix="blackstart-plan-") as folder:
                await git.checkout(site.repo, commit_ref, Path(folder))
        except (RepositoryError, UsageError) as error:
            return error.message
        return ""

    return check


def _show(path: Path, limit: int) -> None:
    from blackstart.recovery.plan import PlanFile

    with PlanFile(path) as found:
        _print_header(found)
        _print_entries(found, limit)
        _print_problems(found.header)


def _print_header(found: PlanFile) -> None:
    from blackstart.cli.console import out
    from blackstart.cli.tables import print_fields

    header = found.header
    print_fields(
        {
            "plan": header.id,
            "database": header.database,
            "made at": f"{header.made_at:%Y-%m-%d %H:%M:%S} UTC",
            "digest": found.digest[:16],
            "deploys": f"{header.deploys:,}",
            **{f"  by {route}": f"{count:,}" for route, count in header.routes.items()},
        }
    )
    out.print()


def _print_entries(found: PlanFile, limit: int) -> None:
    from itertools import islice

    from blackstart.cli.console import out
    from blackstart.cli.tables import print_table

    columns = {"Site": True, "Plan": False, "No.": False, "Route": False, "What is known": True}
    entries = islice(found.entries(), limit or None)
    rows = [
        [
            entry.site or entry.site_id,
            entry.plan,
            f"{entry.number}{'*' if entry.shown else ''}",
            entry.route.value,
            "; ".join(entry.evidence or entry.refused)
            + (f" (inferred: {', '.join(entry.inferred)})" if entry.inferred else ""),
        ]
        for entry in entries
    ]
    if not rows:
        out.print("Nothing is broken: the plan is empty.")
        return
    print_table(columns, rows)
    if found.header.deploys > len(rows):
        out.print(f"and {found.header.deploys - len(rows):,} more: see --limit", style="dim")
    out.print("* what its site shows", style="dim")


def _print_problems(header: Header) -> None:
    from rich.text import Text

    from blackstart.cli.console import out
    from blackstart.cli.tables import plain

    troubled = [source for source in header.sources if source.problems]
    if troubled:
        out.print("\n[bold]What is wrong with the sources[/bold]")
    for source in troubled:
        for problem in source.problems:
            out.print(Text(plain(f"{source.name}: {problem}")))
