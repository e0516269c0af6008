"""Documents and their differences as people read them: a line each, cut to the terminal's width."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blackstart.recovery.diff import Difference, FieldChange, Summary
    from blackstart.recovery.diff.elements import Element

MARKS = {"added": "+", "removed": "-", "changed": "~", "reordered": "~"}
FIELDS_SHOWN = 30
_NARROWEST = 16
_BEARERS = ("$date", "$numberLong", "$oid")


def print_difference(difference: Difference) -> None:
    """A document, and below it each field that changed."""
    from blackstart.cli.tables import plain

    name = f"{MARKS[difference.kind]} {difference.collection} {json.dumps(difference.id)}"
    print(plain(name))
    for change in difference.fields:
        print(plain(_line(change)))


def print_summary(summary: Summary) -> None:
    """Counts by collection, then by field; nothing when nothing differs."""
    from blackstart.cli.console import out
    from blackstart.cli.tables import print_table

    if summary.documents:
        columns = {"Collection": True, "Added": False, "Removed": False, "Changed": False}
        print_table(
            columns,
            [
                [name, *(f"{counts[kind]:,}" for kind in _kinds()[:3])]
                for name, counts in sorted(summary.documents.items())
            ],
        )
    rows = summary.most_first()
    if rows:
        out.print()
        columns = {"Field": True, "Added": False, "Removed": False, "Changed": False}
        print_table(
            columns | {"Reordered": False},
            [
                [f"{collection} {path}", *(f"{counts[kind]:,}" for kind in _kinds())]
                for collection, path, counts in rows[:FIELDS_SHOWN]
            ],
        )
    if len(rows) > FIELDS_SHOWN:
        out.print(f"and {len(rows) - FIELDS_SHOWN:,} more fields: see --json", style="dim")


def _kinds() -> list[Any]:
    from blackstart.recovery.diff import Kind

    return list(Kind)


def _line(change: FieldChange) -> str:
    from blackstart.cli.console import out

    start = f"    {MARKS[change.kind]} {change.path}  "
    left = max(out.width - len(start), 2 * _NARROWEST)
    if change.kind == "reordered":
        return f"{start}in another order"
    if change.before is None or change.after is None:
        return start + _short(change.before or change.after, left)
    half = (left - 4) // 2
    types = change.before.number_type, change.after.number_type
    if all(types) and types[0] != types[1]:
        before, after = (_short(each, half - 12) for each in (change.before, change.after))
        return f"{start}{before} ({types[0]}) -> {after} ({types[1]})"
    return f"{start}{_short(change.before, half)} -> {_short(change.after, half)}"


def _short(value: Element | None, width: int) -> str:
    assert value is not None
    text = json.dumps(_bare(value.as_json()), ensure_ascii=False)
    return text if len(text) <= width else f"{text[: width - 3]}..."


def _bare(value: Any) -> Any:
    """Without the names of BSON's types: who wants them takes --json."""
    if isinstance(value, list):
        return [_bare(each) for each in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((name, inner),) = value.items()
        if name in _BEARERS and not isinstance(inner, dict):
            return int(inner) if name == "$numberLong" else inner
    return {name: _bare(each) for name, each in value.items()}
