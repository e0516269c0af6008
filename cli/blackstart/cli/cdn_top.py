"""`blackstart cdn top`: what a node does, while it does it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from blackstart.cli.cdn_options import ENDED_BY_SIGTERM, NodeUrl, open_node

if TYPE_CHECKING:
    from rich.console import RenderableType

    from blackstart.cli.node_client import NodeClient
    from blackstart.cli.node_rates import Rates, Sample
    from blackstart.clock import Clock
COLUMNS = 3


def top(
    once: Annotated[bool, typer.Option("--once", help="Print one look, and end.")] = False,
    every: Annotated[
        float, typer.Option(min=0.01, max=3600, metavar="SECONDS", help="Time between two looks.")
    ] = 1.0,
    node: NodeUrl = None,
) -> None:
    """Watch a node: requests, hits, the origin's answers, bytes by plan. Ctrl-C ends it."""
    from blackstart import service

    with open_node(node) as client:
        if service.run(_watch(client, every, once=once)) is None:
            raise typer.Exit(ENDED_BY_SIGTERM)


async def _watch(client: NodeClient, every_s: float, *, once: bool) -> bool:
    from rich.live import Live

    from blackstart.cli.console import out
    from blackstart.cli.node_rates import Rates
    from blackstart.clock import WallClock
    from blackstart.errors import HopError

    clock = WallClock()
    before = _look(client, clock)
    await clock.sleep(every_s)
    if once or not out.is_terminal:
        while True:
            after = _look(client, clock)
            out.print(render(client.address, Rates(before, after)))
            if once:
                return True
            before = after
            await clock.sleep(every_s)
    with Live(console=out, auto_refresh=False, screen=True) as live:
        while True:
            try:
                after = _look(client, clock)
                live.update(render(client.address, Rates(before, after)), refresh=True)
                before = after
            except HopError as error:
                live.update(str(error), refresh=True)
            await clock.sleep(every_s)


def _look(client: NodeClient, clock: Clock) -> Sample:
    from blackstart.cli.node_client import stranger
    from blackstart.cli.node_rates import Sample

    text = client.metrics()
    try:
        return Sample(text, clock.time())
    except ValueError as error:
        raise stranger(client.address, "its metrics cannot be read") from error


def render(address: str, rates: Rates) -> RenderableType:
    """One look, in 80 columns."""
    from rich import box
    from rich.console import Group
    from rich.table import Table

    from blackstart.cli.units import size

    now = rates.after
    second = rates.per_second
    facts = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for _ in range(COLUMNS):
        facts.add_column(style="dim", no_wrap=True)
        facts.add_column(justify="right", no_wrap=True, min_width=9)
    held = sum(now.total("stored_bytes", tier=tier) for tier in ("memory", "disk"))
    cells = [
        ("requests/s", number(rates.requests_per_second())),
        ("hit ratio", percent(rates.hit_ratio())),
        ("connections", number(now.total("connections"))),
        ("stale/s", number(second("stale_total"))),
        ("collapsed/s", number(second("collapsed_total"))),
        ("entries", number(now.total("entries"))),
        ("origin/s", number(second("origin_seconds_count"))),
        ("half within", time(rates.latency_s(0.5))),
        ("held", size(held)),
        ("errors/s", number(second("errors_total"))),
        ("99 % within", time(rates.latency_s(0.99))),
        ("sent/s", size(second("sent_bytes_total"))),
    ]
    for first in range(0, len(cells), COLUMNS):
        facts.add_row(*(text for cell in cells[first : first + COLUMNS] for text in cell))
    names = ("plan", "requests/s", "hits", "stale/s", "sent/s", "memory", "disk", "evicted/s")
    plans = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    for name in names:
        plans.add_column(name, justify="left" if name == "plan" else "right", no_wrap=True)
    for plan in now.labels("hits_total", "plan"):
        plans.add_row(
            plan,
            number(rates.requests_per_second(plan=plan)),
            percent(rates.hit_ratio(plan=plan)),
            number(second("stale_total", plan=plan)),
            size(second("sent_bytes_total", plan=plan)),
            size(now.total("stored_bytes", plan=plan, tier="memory")),
            size(now.total("stored_bytes", plan=plan, tier="disk")),
            number(second("evictions_total", plan=plan)),
        )
    return Group(f"node at {address}", facts, "", plans, *_errors(rates))


def _errors(rates: Rates) -> list[str]:
    kinds = rates.after.labels("errors_total", "kind")
    counts = {kind: rates.per_second("errors_total", kind=kind) for kind in kinds}
    told = [f"{kind} {number(rate)}/s" for kind, rate in counts.items() if rate]
    return ["", f"errors of the origin: {', '.join(told)}"] if told else []


def number(value: float) -> str:
    """A rate or count; one decimal where that says something."""
    return f"{value:,.1f}" if 0 < value < 10 and value != int(value) else f"{value:,.0f}"


def percent(ratio: float | None) -> str:
    """A share; a dash for nothing of nothing."""
    return "-" if ratio is None else f"{100 * ratio:.1f} %"


def time(seconds: float | None) -> str:
    """A step of the origin's latency."""
    if seconds is None:
        return "-"
    if seconds == math.inf:
        return "over 30 s"
    return f"{seconds:g} s" if seconds >= 1 else f"{1000 * seconds:g} ms"
