"""The snapshot before a held write runs, and the command that brings back what it changed."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any

from blackstart.errors import ConflictError

if TYPE_CHECKING:
    from pymongo import AsyncMongoClient

    from blackstart.clock import Clock
    from blackstart.guard.requests import Request, Saved
    from blackstart.recovery.snapshots import Snapshots
    from blackstart.seed import Seed

NOTHING_TO_SAVE = "nothing: it changes no documents"
_STATEMENTS = {"update": ("updates", "q"), "delete": ("deletes", "q")}
_CUT = re.compile(r"^\([\w ]+\)$|^\.\.\.( and \d+ more)?$| \.\.\.$")
"""What stands for a value that people do not see, or not whole: redacted, bytes, long, many."""


class Saver:
    """Takes a snapshot of every database that a held write can touch."""

    def __init__(
        self,
        snapshots: Snapshots,
        client: AsyncMongoClient[dict[str, Any]],
        clock: Clock,
        seed: Seed,
    ) -> None:
        self._snapshots = snapshots
        self._client = client
        self._clock = clock
        self._seed = seed

    async def __call__(self, request: Request) -> Saved:
        """Raises: DatabaseError, StorageError, ConflictError: then the write must not run."""
        from blackstart.guard.requests import Saved

        databases = sorted({database for database, _ in request.spaces})
        if not databases and request.kind != "control":
            raise ConflictError(f"request {request.number} does not tell what it would change")
        taken = {name: await self._take(name) for name in databases}
        if not taken:
            return Saved(NOTHING_TO_SAVE, "")
        undo = " && ".join(undo_command(request, name, taken[name]) for name in databases)
        return Saved(", ".join(taken[name] for name in databases), undo)

    async def _take(self, database: str) -> str:
        snapshot = await self._snapshots.take(self._client[database], self._clock, self._seed)
        return snapshot.id


def undo_command(request: Request, database: str, snapshot: str) -> str:
    """The command line that brings back what a request changes in one database."""
    collections = sorted({name for space, name in request.spaces if space == database} - {"*"})
    line = f"BLACKSTART_DATABASE={shlex.quote(database)} blackstart snapshot restore {snapshot}"
    line += "".join(f" --collection {shlex.quote(name)}" for name in collections)
    found = _filter_of(request)
    return line if found is None else f"{line} --where {shlex.quote(json.dumps(found))}"


def _filter_of(request: Request) -> dict[str, Any] | None:
    """What the one statement of a request matches, where people may see all of it."""
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
    return found if isinstance(found, dict) and _is_whole(found) else None


def _is_whole(value: Any) -> bool:
    """Whether nothing was redacted or cut: a filter with a part left out is another one."""
    if isinstance(value, dict):
        return "..." not in value and all(_is_whole(each) for each in value.values())
    if isinstance(value, list):
        return all(_is_whole(each) for each in value)
    return not isinstance(value, str) or _CUT.search(value) is None
