"""Where everything of one `up` is: for people and for scripts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from blackstart.cli.serve import Role
from blackstart.cli.up_guard import NAME as GUARD
from blackstart.cli.up_guard import OPERATOR, REVIEWER

if TYPE_CHECKING:
    from blackstart.cli.up_guard import UpGuard
    from blackstart.cli.up_platform import Platform

NOTES: dict[str, str] = {
    Role.CONTROL: "API under /api/v1, web pages",
    Role.ORIGIN: "what the nodes ask",
    Role.NODE: "what visitors ask",
    Role.WORKER: "builds; answers health checks only",
    GUARD: "what mongosh and scripts ask",
    Role.SNAPSHOTS: "by the clock; health checks only",
}


def print_json(platform: Platform) -> None:
    """All addresses and the token as one line."""
    addresses = {
        "control": platform.servers["control"].url,
        "token": platform.token,
        "origin": platform.servers["origin"].url,
        "nodes": platform.urls(Role.NODE),
        "workers": platform.urls(Role.WORKER),
        "mongodb_uri": _uri_for_people(platform),
        "guard": _guard(platform.guard),
        "object_store": platform.environment["BLACKSTART_OBJECT_STORE"],
        "domain": platform.settings.domain,
        "folder": str(platform.folder),
    }
    print(json.dumps(addresses), flush=True)


def print_addresses(platform: Platform) -> None:
    """A table, and what to do first."""
    from blackstart.cli.console import out

    _print_table(platform)
    control = platform.servers["control"].url
    node = platform.urls(Role.NODE)[0]
    _print_lines(
        "In another terminal, say where the platform is and who asks:",
        f"export BLACKSTART_API_URL={control}",
        f"export BLACKSTART_API_TOKEN={platform.token}",
    )
    _print_lines(
        "Then make a site from a repository, build it, and fetch its page through a node:",
        "./blackstart site create mine --repo /path/to/repository",
        "./blackstart build start mine --follow",
        f"curl -H 'Host: mine.{platform.settings.domain}' {node}/",
    )
    if platform.guard is not None:
        _print_guard(platform.guard)
    end = "" if platform.plan.data else ", removed at the end"
    out.print(f"\nData and logs: {platform.folder}{end}", markup=False, soft_wrap=True)
    out.print("Ctrl-C ends it all.")


def _uri_for_people(platform: Platform) -> str:
    """Where whoever started this run reads and writes documents; blank when nobody may."""
    guard = platform.guard
    if guard is None:
        return platform.environment["BLACKSTART_MONGODB_URI"]
    return guard.uri(OPERATOR) if guard.has(OPERATOR) else ""


def _guard(guard: UpGuard | None) -> dict[str, str | None] | None:
    """Address and page of the guard, and the URIs of its two people."""
    if guard is None:
        return None
    people = {name: guard.uri(name) if guard.has(name) else None for name in (OPERATOR, REVIEWER)}
    return {"address": guard.server.url, "page": guard.page, **people}


def _print_guard(guard: UpGuard) -> None:
    """How to get at documents, and how somebody else lets a dangerous write run."""
    if guard.has(OPERATOR):
        _print_lines(
            "Nobody runs a dangerous write alone: the operator's waits for a second person.",
            f"mongosh '{guard.uri(OPERATOR)}'",
        )
    if guard.has(REVIEWER):
        _print_lines(
            "That one, the reviewer, reads what it would do, and decides; on the page as well:",
            f"export BLACKSTART_GUARD_URI='{guard.uri(REVIEWER)}'",
            "./blackstart guard list",
            "./blackstart guard show 1",
            "./blackstart guard approve 1 --reason 'looks right'",
            f"{guard.page}",
        )


def _print_table(platform: Platform) -> None:
    from rich import box
    from rich.table import Table

    from blackstart.cli.console import out

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 3, 0, 0))
    table.add_column("Process", style="bold", no_wrap=True)
    table.add_column("Address", no_wrap=True)
    table.add_column("")
    for name in sorted(platform.servers, key=lambda name: (not name.startswith("c"), name)):
        note = NOTES[name.partition("-")[0]]
        table.add_row(name, platform.servers[name].url, f"[dim]{note}[/]")
    if platform.embedded:
        address = platform.environment["BLACKSTART_MONGODB_URI"].partition("?")[0].rstrip("/")
        address = f"mongodb://{address.removeprefix('mongodb://').rpartition('@')[2]}"
        locked = ", locked" if platform.guard else ""
        table.add_row("mongodb", address, f"[dim]embedded{locked}[/]")
    out.print()
    out.print(table)


def _print_lines(heading: str, *lines: str) -> None:
    from blackstart.cli.console import out

    out.print(f"\n{heading}\n")
    for line in lines:
        out.print(f"  {line}", markup=False, soft_wrap=True, style="cyan")
