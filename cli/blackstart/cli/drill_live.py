"""A drill while it runs: clock, phase, availability by plan, and what is happening."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from datetime import datetime, timedelta, timezone

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from blackstart.cli.console import err
from blackstart.drills.drill import Drill
from blackstart.drills.journal import Entry
from blackstart.drills.timeline import offset_text
from blackstart.model import Plan

PACIFIC = timezone(timedelta(hours=-8), "PST")
REFRESH_S = 0.1
LINES = 6
RECENT = 400
TOLD = {
    "fault.injected": "the migration overwrites metadata",
    "fault.stopped": "the migration is stopped",
    "write.held": "the guard holds a write: {subject}",
    "request.said": "{actor} decides about {subject}",
    "cause.found": "the audit trail names the write: {subject}",
    "alert.fired": "alert: {subject}",
    "alert.resolved": "alert over: {subject}",
    "runbook": "{actor}: {subject}",
    "fix.released": "fix live: {subject}",
    "build.stuck": "a build sticks at the publish check",
    "build.pushed": "a stuck deploy is pushed through",
    "site.reverted": "a site is reverted",
    "snapshot.taken": "snapshot taken",
}


async def watch(drill: Drill, *, quiet: bool) -> None:
    """Show the drill until cancelled: live in a terminal, as lines elsewhere."""
    if quiet:
        return
    if not err.is_terminal:
        await _lines(drill)
        return
    view = LiveView(drill)
    with Live(view.render(), console=err, refresh_per_second=8, transient=True) as live:
        while True:
            live.update(view.render())
            await asyncio.sleep(REFRESH_S)


async def _lines(drill: Drill) -> None:
    said = ""
    while True:
        if drill.phase != said:
            said = drill.phase
            err.print(f"{said} ...")
        await asyncio.sleep(REFRESH_S)


class LiveView:
    """Reads the journal as it grows."""

    def __init__(self, drill: Drill) -> None:
        self._drill = drill
        self._read = 0
        self._visits: deque[Entry] = deque(maxlen=RECENT)
        self._plans: dict[str, str] = {}
        self._happening: deque[str] = deque(maxlen=LINES)

    def render(self) -> RenderableType:
        """The view of this moment."""
        self._catch_up()
        return Group(self._head(), self._availability(), *map(Text, self._happening))

    def _catch_up(self) -> None:
        world = self._drill.world
        if world is None:
            return
        if not self._plans:
            self._plans = {site.name: site.plan.value for site in world.fleet.sites}
        for entry in world.journal.since(self._read):
            self._take(entry)
        self._read = len(world.journal)

    def _take(self, entry: Entry) -> None:
        if entry.action == "visit":
            if entry.offset_s >= 0 and entry.actor == "visitors" and entry.details["person"]:
                self._visits.append(entry)
        elif entry.action in TOLD:
            line = TOLD[entry.action].format(subject=entry.subject, actor=entry.actor)
            self._happening.append(f"{offset_text(entry.offset_s):>9}  {line}")

    def _head(self) -> Text:
        world = self._drill.world
        text = Text(f"{self._drill.order.incident.name}  ", style="bold")
        if world is not None:
            clock = datetime.fromtimestamp(world.clock.time(), PACIFIC)
            text.append(f"{clock:%H:%M:%S} PST  ", style="cyan")
        text.append(self._drill.phase, style="yellow")
        return text

    def _availability(self) -> RenderableType:
        if not self._visits:
            return Text("")
        total: Counter[str] = Counter()
        good: Counter[str] = Counter()
        for visit in self._visits:
            plan = self._plans[visit.details["site"]]
            total[plan] += 1
            good[plan] += visit.details["status"] < 400
        table = Table.grid(padding=(0, 3, 0, 0))
        cells = []
        for plan in Plan:
            if total[plan]:
                share = good[plan] / total[plan]
                style = "green" if share > 0.999 else "red" if share < 0.97 else "yellow"
                cells.append(Text(f"{plan.value} {share:.0%}", style=style))
        table.add_row(Text("answered lately:"), *cells)
        return table
