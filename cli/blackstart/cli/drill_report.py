"""A drill's report in the terminal: timeline, checks, plans, and how deploys came back."""

from __future__ import annotations

from datetime import timedelta, timezone

from rich import box
from rich.table import Table
from rich.text import Text

from blackstart.cli.console import out
from blackstart.drills.checks import Check, Status
from blackstart.drills.incidents import Incident
from blackstart.drills.result import Result
from blackstart.drills.timeline import count, offset_text

PACIFIC = timezone(timedelta(hours=-8), "PST")
MARKS = {
    Status.PASSED: Text("passed", style="green"),
    Status.FAILED: Text("FAILED", style="bold red"),
    Status.UNKNOWN: Text("unknown", style="bold yellow"),
}


def print_report(result: Result, incident: Incident) -> None:
    """Print the whole report to stdout."""
    fleet = result.fleet
    out.print(Text(incident.title, style="bold"))
    out.print(
        f"seed {result.seed}, {fleet.sites} sites, {fleet.deploys} deploys; "
        f"safeguards: {', '.join(result.safeguards) or 'none, as in 2017'}"
    )
    out.print()
    for part in (
        _timeline(result, incident),
        _plans(result),
        _came_back(result),
        _checks(result.checks),
    ):
        out.print(part)
        out.print()
    for own in result.repositories:
        out.print(
            f"your site {own.site}: {own.came_back.replace('_', ' ')}, down "
            f"{own.downtime_min:.1f} min, {own.right_pages} of {own.pages} pages right at the end"
        )
    out.print(_last_line(result))


def _timeline(result: Result, incident: Incident) -> Table:
    """What emerged, and in between what the review tells."""
    table = _table("Offset", "PST", "What emerged, and what the review tells")
    rows = [(moment.offset_s, False, moment.event) for moment in result.timeline]
    rows += [(milestone.offset_s, True, milestone.what) for milestone in incident.milestones]
    for offset_s, review, what in sorted(rows):
        clock = incident.fault_time.astimezone(PACIFIC) + timedelta(seconds=offset_s)
        told = Text(f"review: {what}", style="dim italic") if review else Text(what)
        table.add_row(offset_text(offset_s), f"{clock:%H:%M}", told)
    return table


def _plans(result: Result) -> Table:
    table = _table("Plan", "Visits answered", "Downtime of damaged sites")
    for plan, share in result.availability.items():
        down = result.downtime_min.get(plan)
        minutes = "none damaged"
        if down is not None:
            minutes = f"median {down['median']:.1f} min, longest {down['max']:.1f} min"
        table.add_row(plan, f"{share:.2%}", minutes)
    return table


def _came_back(result: Result) -> Text:
    fleet = result.fleet
    if result.fault == "prevented":
        return Text("no deploy was damaged: the fault was stopped", style="green")
    ways = ", ".join(
        f"{count} {way.replace('_', ' ')}" for way, count in result.outcomes.items() if count
    )
    return Text(
        f"{count(fleet.affected_deploys, 'damaged deploy')}, "
        f"{count(fleet.affected_sites, 'site')} showed one: {ways}"
    )


def _checks(checks: list[Check]) -> Table:
    """What was observed; beside what was expected when that differs."""
    table = _table("Check", "")
    for check in checks:
        told = Text(check.title, style="bold")
        if check.status is not Status.PASSED:
            told.append(f"\nexpected: {check.expected}", style="not bold")
        told.append(f"\n{check.observed}", style="not bold dim")
        table.add_row(MARKS[check.status], told)
    return table


def _last_line(result: Result) -> Text:
    passed = sum(check.status is Status.PASSED for check in result.checks)
    text = Text(
        f"{passed} of {len(result.checks)} checks passed", "green" if result.passed else "bold red"
    )
    text.append(
        f"; {result.simulated_s / 3_600:.1f} hours in {result.wall_s:.0f} s, "
        f"{result.peak_rss_mb:.0f} MB; journal {result.journal_sha256[:12]}",
        style="default",
    )
    return text


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, no_wrap=number + 1 < len(columns))
    return table
