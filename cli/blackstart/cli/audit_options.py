"""What the commands of the audit trail share: where it is, and which lines are wanted."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blackstart.cli.guard_options import option
from blackstart.cli.ledgers import Words, read_since
from blackstart.cli.object_store import must_exist
from blackstart.errors import UsageError

if TYPE_CHECKING:
    from blackstart.guard.audit import AuditReading, Wanted
    from blackstart.store import ObjectStore

WORDS = Words("audit trail", "line", "blackstart audit verify")

Login = Annotated[str | None, typer.Option(metavar="NAME", help="Of this login alone.")]
Since = Annotated[
    str | None,
    option("From this time on: 2017-02-02T17:20Z, or 90m, 12h, 7d ago.", "TIME"),
]
Action = Annotated[
    str | None,
    typer.Option(metavar="A", help="What happened, or its beginning: `write`, `write.held`."),
]
OfRequest = Annotated[
    int | None, typer.Option("--request", metavar="N", help="About this held write alone.")
]


@dataclass(frozen=True)
class Trail:
    """Where a guard's trail lies; a folder is None where this machine has none."""

    objects: ObjectStore
    folder: Path | None
    heads: Path | None

    def reading(self) -> AuditReading:
        from blackstart.guard.audit import read_trail

        return read_trail(self.objects, self.folder, self.heads)


def the_trail(data: Path | None) -> Trail:
    """The trail of the guard that has this folder. Raises: UsageError."""
    from blackstart.guard.guardroom import Places
    from blackstart.guard.settings import GuardSettings
    from blackstart.settings import load
    from blackstart.store import ObjectStore

    settings = load(GuardSettings) if data is None else load(GuardSettings, guard_data=data)
    places = Places(settings.guard_data)
    if settings.object_store.startswith("memory:"):
        raise UsageError("an object store in memory is gone with its guard")
    if not places.folder.is_dir() and not settings.object_store:
        raise UsageError(
            f"no guard was at {places.folder}", hint="see --data or BLACKSTART_GUARD_DATA"
        )
    must_exist(settings.objects())
    objects = ObjectStore.open(settings.objects())
    if not places.audit.is_dir():
        print(
            f"no local part here: the newest lines may be missing ({places.audit})",
            file=sys.stderr,
        )
        return Trail(objects, None, None)
    return Trail(objects, places.audit, places.heads)


def wanted_lines(
    login: str | None, since: str | None, action: str | None, request: int | None
) -> Wanted:
    """Raises: UsageError for what is no time."""
    from blackstart.guard.audit import Wanted

    moment = None if since is None else read_since(since)
    return Wanted(since=moment, login=login, action=action, request=request)
