"""The snapshot before a held write runs, and the command that brings back what it changed."""

from __future__ import annotations

import json
import shlex
from collections.abc import Awaitable, Callable
from typing import Any

from blackstart.errors import ConflictError
from blackstart.guard.redact import is_whole
from blackstart.guard.requests.model import Request
from blackstart.guard.requests.runner import Saved

Take = Callable[[str], Awaitable[str]]
"""Takes a snapshot of the database of that name, and gives its id."""

NOTHING_TO_SAVE = "nothing: it changes no documents"
_STATEMENTS = {"update": ("updates", "q"), "delete": ("deletes", "q")}


class Saver:
    """Takes a snapshot of every database that a held write can touch."""

    def __init__(self, take: Take) -> None:
        self._take = take

    async def __call__(self, request: Request) -> Saved:
        """Raises: ConflictError, and what `take` raises: then the write must not run."""
        databases = sorted({database for database, _ in request.spaces})
        if not databases and request.kind != "control":
            raise ConflictError(f"request {request.number} does not tell what it would change")
        taken = {name: await self._take(name) for name in databases}
        if not taken:
            return Saved(NOTHING_TO_SAVE, "")
        undo = " && ".join(undo_command(request, name, taken[name]) for name in databases)
        return Saved(", ".join(taken[name] for name in databases), undo)


def undo_command(request: Request, database: str, snapshot: str) -> str:
    """The command line that brings back what a request changes in one database."""
    collections = sorted({name for space, name in request.spaces if space == database} - {"*"})
    line = f"BLACKSTART_DATABASE={shlex.quote(database)} blackstart snapshot restore {snapshot}"
    line += "".join(f" --collection {shlex.quote(name)}" for name in collections)
    found = _filter_of(request)
    return line if found is None else f"{line} --where {shlex.quote(json.dumps(found))}"


def _filter_of(request: Request) -> dict[str, Any] | None:
    """What the one statement of a request matches, where the request shows all of it."""
    name = next(iter(request.command), "")
    if name not in _STATEMENTS or len(request.spaces) != 1:
        return None
    field, key = _STATEMENTS[name]
    statements = request.command.get(field)
    if not isinstance(statements, list) or len(statements) != 1:
        return None
    (statement,) = statements
    if not isinstance(statement, dict) or statement.get("upsert"):
        return None
    found = statement.get(key)
    return found if isinstance(found, dict) and is_whole(found) else None
