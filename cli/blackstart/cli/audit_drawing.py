"""Lines of the audit trail as people read them, under the day that they are of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rich.text import Text

from blackstart.cli.days import Days
from blackstart.cli.tables import plain
from blackstart.guard.audit import AuditLine

WHO, ACTION = 8, 16
STYLES = {
    "command.refused": "red",
    "request.said": "cyan",
    "write.ended": "bold",
    "write.held": "yellow",
    "write.outgrown": "red",
    "write.sent": "bold",
}
TOLD = frozenset({"client", "command", "digest", "login", "person", "request"})
"""Details that have a place of their own, or are for `--json`."""


class Drawing:
    """Prints lines one by one."""

    def __init__(self) -> None:
        self._days = Days(WHO, ACTION)

    def line(self, line: AuditLine) -> None:
        style = STYLES.get(line.action, "")
        cells = (
            Text(plain(str(line.details.get("login", "")))),
            Text(plain(line.action), style=style),
            Text(plain(what(line)), style=style),
        )
        self._days.print(line.at, [cells])


def print_row(line: AuditLine) -> None:
    """One JSON object on a line of stdout."""
    print(json.dumps(line.row()), flush=True)


def what(line: AuditLine) -> str:
    """What happened, in a line."""
    details = line.details
    number = f"#{details['request']} " if "request" in details else ""
    command = details.get("command")
    if isinstance(command, Mapping) and command:
        name, target = next(iter(command.items()))
        on = f" {target}" if isinstance(target, str) else ""
        why = f": {details['why']}" if details.get("why") else ""
        return f"{number}{name}{on} in {details.get('database', '?')}{why}"
    if line.action == "request.said":
        reason = f": {details['reason']}" if details.get("reason") else ""
        return f"{number}{details.get('word', '')}{reason}"
    rest = {key: value for key, value in details.items() if key not in TOLD}
    return number + ", ".join(f"{key} {_short(value)}" for key, value in rest.items())


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
