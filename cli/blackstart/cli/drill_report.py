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
from blackstart.drills.timeline import offset_text

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
    out.print(_timeline(result, incident))
    out.print(_plans(result))
    out.print(_came_back(result))
    out.print()
    out.print(_checks(result.checks))
    out.print(_last_line(result))


def _timeline(result: Result, incident: Incident) -> Table:
    """What emerged in the middle, what the review tells at the right."""
    table = _table("Offset", "PST", "What emerged", "The review says")
    rows = [(moment.offset_s, moment.event, "") for moment in result.timeline]
    rows += [(milestone.offset_s, "", milestone.what) for milestone in incident.milestones]
    for offset_s, emerged, review in sorted(rows, key=lambda row: row[0]):
        clock = incident.fault_time.astimezone(PACIFIC) + timedelta(seconds=offset_s)
        table.add_row(offset_text(offset_s), f"{clock:%H:%M}", emerged, Text(review, style="dim"))
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
    ways = ", ".join(
        f"{count} {way.replace('_', ' ')}" for way, count in result.outcomes.items() if count
    )
    return Text(
        f"{fleet.affected_deploys} damaged deploys, {fleet.affected_sites} sites showed one: {ways}"
    )


def _checks(checks: list[Check]) -> Table:
    """One line each when it passed; expected against observed when it did not."""
    table = _table("Check", "", "Observed")
    for check in checks:
        observed = Text(check.observed)
        if check.status is not Status.PASSED:
            observed = Text(f"expected: {check.expected}\nobserved: {check.observed}")
        table.add_row(Text(check.title), MARKS[check.status], observed)
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
        table.add_column(column, ratio=1 if number >= 2 else None)
    return table
