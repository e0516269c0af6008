"""A request as a reviewer must see it: in a terminal, with what would be lost told loudly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from blackstart.cli.compact import compact
from blackstart.cli.console import out
from blackstart.cli.tables import plain

if TYPE_CHECKING:
    from blackstart.guard.preview.model import Part, Sample
    from blackstart.guard.requests import Request

STYLES = {
    "held": "bold yellow",
    "approved": "bold green",
    "executed": "green",
    "rejected": "bold red",
    "not executed": "red",
    "unknown": "bold red",
}
ALARM = "bold white on red"
COMMAND_WIDTH = 76


def draw(request: Request) -> None:
    """All of a request; raises: InvalidDocumentError for one without a preview."""
    preview = request.foreseen()
    out.print(_heading(request))
    out.print(_facts(request))
    _section("The command", Text(_plain(compact(request.command, COMMAND_WIDTH))))
    parts = [line for part in preview.parts for line in _part(part)]
    notes = [Text(plain(note)) for note in preview.notes]
    _section("What it would do", Group(*(parts or [Text("nothing is known of it")]), *notes))
    _section("What was said", _history(request))
    if request.snapshot:
        _section("Saved before it ran", Text(plain(request.snapshot)))
    if request.undo:
        out.print(
            "\n[bold]To undo it[/] [dim](it only tells what it would do; with --yes it does it)[/]"
        )
        # On one line, however long it is, so that it can be copied.
        out.print(Text(f"  {plain(request.undo)}"), soft_wrap=True)
    for line in _next(request):
        out.print(Text(line, style="dim"), soft_wrap=True)


def _heading(request: Request) -> Text:
    style = STYLES.get(request.state, "bold")
    heading = Text.assemble(f"request {request.number}: ", (str(request.state), style))
    if request.glass is not None:
        seen = "the glass is broken" if request.review is None else "the glass was broken"
        heading.append(f", {seen}", style="bold red" if request.review is None else "")
    return heading


def _facts(request: Request) -> RenderableType:
    person = "" if request.person == request.login else f", who is {request.person}"
    ends = request.held_until if request.state == "held" else request.run_until
    waits = request.state in ("held", "approved")
    facts = {
        "who": f"{request.login}{person}",
        "from": request.client,
        "asked at": _time(request.at),
        "expires" if request.state == "held" else "may run until": _time(ends) if waits else "",
        "comment": request.comment,
        "database": request.database,
        "held because": f"{request.kind}: {request.why}",
        "precious": ", ".join(request.precious),
        "outcome": request.outcome,
        "digest": request.digest,
    }
    return _grid(
        (Text(name, style="dim"), Text(plain(each))) for name, each in facts.items() if each
    )


def _part(part: Part) -> Iterator[RenderableType]:
    yield Text.assemble((plain(part.what), "bold"), f" on {plain(part.namespace)}")
    if part.matched is not None:
        percent = "" if part.percent is None else f", {part.percent:.1f} % of {part.total:,}"
        yield Text(f"  {documents(part.matched)}{percent}", style="bold")
    if part.dropped:
        yield Padding(Text("FIELDS WOULD BE LOST THAT NOBODY ASKED TO REMOVE", style=ALARM), (0, 2))
        yield _indented(Text(_counts(part.dropped), style="bold red"))
    for warning in part.warnings:
        yield _indented(Text(f"! {plain(warning)}", style="bold red"))
    yield from map(_indented, _changes(part))
    yield from (_indented(Text(plain(note))) for note in part.notes)
    for sample in part.samples:
        yield _indented(_sample(sample))


def _changes(part: Part) -> Iterator[RenderableType]:
    named = {"set": part.set, "unset": part.unset, "replaced whole": part.replaced}
    rows = [(Text(name, style="dim"), Text(_counts(each))) for name, each in named.items() if each]
    if rows:
        yield _grid(rows)
        yield Text(f"counted over {documents(part.looked_at)}", style="dim")


def _sample(sample: Sample) -> RenderableType:
    note = f": {sample.note}" if sample.note else ""
    rows: list[tuple[Text, Text]] = []
    after = sample.after or {}
    for path, text in sample.before.items():
        rows.append(_side("-", path, text, "red"))
        if path in after:
            rows.append(_side("+", path, after[path], "green"))
    new = [path for path in after if path not in sample.before]
    rows += [_side("+", path, after[path], "green") for path in new]
    title = Text(plain(f"such as {sample.id}{note}"), style="italic")
    return Group(title, _indented(_grid(rows)))


def _side(sign: str, path: str, text: str, style: str) -> tuple[Text, Text]:
    return Text(f"{sign} {plain(path)}", style=style), Text(plain(text), style=style)


def _history(request: Request) -> RenderableType:
    rows = []
    for step in request.history:
        note = Text.assemble(
            (str(step.state), STYLES.get(step.state, "")), plain(_behind(step.note))
        )
        rows.append((Text(_time(step.at), style="dim"), note))
    return _grid(rows)


def _behind(note: str) -> str:
    return f", {note}" if note else ""


def _next(request: Request) -> Iterator[str]:
    """What can be done about it now."""
    number = request.number
    if request.state == "held":
        yield (
            f"\na reviewer: `blackstart guard approve {number}`, `blackstart guard reject {number}`"
        )
        yield (
            f"{plain(request.login)}: `blackstart guard withdraw {number}`,"
            f" `blackstart guard break-glass {number}`"
        )
    elif request.wants_review:
        yield f"\na reviewer: `blackstart guard review {number}`"


def _section(title: str, body: RenderableType) -> None:
    out.print(f"\n[bold]{title}[/]")
    out.print(_indented(body))


def _indented(body: RenderableType) -> RenderableType:
    return Padding(body, (0, 0, 0, 2))


def _grid(rows: Iterator[tuple[Text, Text]] | list[tuple[Text, Text]]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{plain(path)} ({count:,})" for path, count in counts.items())


def documents(count: int) -> str:
    """`1 document`, `20,000 documents`."""
    return f"{count:,} document{'' if count == 1 else 's'}"


def _plain(text: str) -> str:
    return "\n".join(plain(line) for line in text.splitlines())


def _time(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC"
