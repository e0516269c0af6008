"""Which bucket and database the snapshot commands work on, and how they name a snapshot."""

from __future__ import annotations

import json
import sys
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blackstart.cli.object_store import must_exist

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from datetime import datetime

    from blackstart.recovery.settings import RecoverySettings
    from blackstart.recovery.snapshots import Gap, Snapshot, Snapshots
    from blackstart.store import MetadataStore

ENDED_BY_SIGTERM = 143

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SnapshotId = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="As `snapshot list` shows it, the beginning of it, or `newest`."
    ),
]

Before = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="With `newest`: the last one taken before, in ISO 8601."),
]
Collections = Annotated[
    list[str] | None,
    typer.Option(
        "--collection", metavar="NAME", help="Only this one (repeatable).", show_default=False
    ),
]
TROUBLE = 3
"""The exit code of a command whose 1 is an answer, when it could not find the answer."""


def load_settings(**options: str | None) -> RecoverySettings:
    """From the environment, but for the options of a command that were given.

    Raises: UsageError that names the setting or the option at fault.
    """
    from blackstart.recovery.settings import RecoverySettings
    from blackstart.settings import load

    given = {name: value for name, value in options.items() if value is not None}
    called = {name: f"--{name.rpartition('_')[2]}" for name in given}
    return load(RecoverySettings, called, **given)


def open_snapshots(settings: RecoverySettings, *, make: bool = False) -> Snapshots:
    """The snapshots in the object store that is named; `make` its folder where there is none.

    Raises: UsageError, StorageError.
    """
    from blackstart.errors import UsageError
    from blackstart.recovery.snapshots import Snapshots
    from blackstart.store import ObjectStore

    if not settings.object_store:
        raise UsageError(
            "snapshots are kept in the object store, and none is named",
            hint="set BLACKSTART_OBJECT_STORE to that of the platform",
        )
    if not make:
        must_exist(settings.object_store)
    return Snapshots(ObjectStore.open(settings.needed_object_store()), sealer=settings.sealer())


def needs_database(settings: RecoverySettings) -> None:
    """Raises: UsageError when no database is named."""
    from blackstart.errors import UsageError

    if not settings.mongodb_uri:
        raise UsageError(
            "a snapshot is taken of a database, and none is named",
            hint="set BLACKSTART_MONGODB_URI to that of the platform",
        )


@asynccontextmanager
async def open_database(settings: RecoverySettings) -> AsyncIterator[MetadataStore]:
    """The database that is named. Raises: UsageError when none is; DatabaseError."""
    from blackstart.store.metadata import connect

    needs_database(settings)
    async with connect(settings.mongodb_uri, settings.database) as store:
        yield store


async def choose(snapshots: Snapshots, wanted: str, before: datetime | None, database: str) -> str:
    """The id of the snapshot that is meant. Raises: NotFoundError when there is none."""
    from blackstart.errors import NotFoundError

    if before is None:
        return await snapshots.resolve(wanted, database)
    listing = await snapshots.listing()
    found = [
        each.id
        for each in listing.snapshots
        if each.database == database and each.taken_at < before
    ]
    if not found:
        raise NotFoundError(
            f"no snapshot of {database} was taken before {before:%Y-%m-%d %H:%M:%S} UTC",
            hint="`blackstart snapshot list` shows them",
        )
    return found[-1]


def moment_of(text: str | None, wanted: str) -> datetime | None:
    """What `--before` says.

    Raises: UsageError when it is no time, or goes with a snapshot that is named.
    """
    from datetime import UTC, datetime

    from blackstart.errors import UsageError

    if text is None:
        return None
    if wanted != "newest":
        raise UsageError("--before goes with `newest` only")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        hint = "write it as 2017-02-02T17:17:00Z"
        raise UsageError(f"--before: {text!r} is no time", hint=hint) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def row_of(snapshot: Snapshot) -> dict[str, Any]:
    """A snapshot as JSON."""
    return {
        "id": snapshot.id,
        "taken_at": snapshot.taken_at.isoformat(),
        "database": snapshot.database,
        "consistent": snapshot.consistent,
        "empty": snapshot.is_empty,
        "sealed": snapshot.sealed,
        "documents": snapshot.document_count,
        "counts": dict(snapshot.counts),
        "raw_bytes": snapshot.raw_bytes,
        "stored_bytes": snapshot.stored_bytes,
        "left_out": list(snapshot.left_out),
    }


@contextmanager
def trouble() -> Iterator[None]:
    """Ends with 3 when the body fails, and not with 1, which is an answer."""
    from blackstart.errors import BlackstartError, UsageError

    try:
        yield
    except UsageError:
        raise
    except BlackstartError as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        raise typer.Exit(TROUBLE) from error


def complain_of_gaps(gaps: Sequence[Gap]) -> None:
    """Name what could not be read of a snapshot, and how many documents that is."""
    from blackstart.cli.units import counted
    from blackstart.recovery.exact import extended_json
    from blackstart.recovery.snapshots.documents import id_document

    for gap in gaps:
        chunk = gap.chunk
        first, last = (
            json.dumps(extended_json(id_document(end)).get("_id"))
            for end in (chunk.first_id, chunk.last_id)
        )
        complain(
            f"NOT READ: {counted(chunk.count, 'document')} of {gap.collection}, "
            f"_id {first} to {last}"
        )
        complain(f"  {gap.why}")


def complain(what: str) -> None:
    """Say on stderr what must not be overlooked."""
    from rich.text import Text

    from blackstart.cli.console import err
    from blackstart.cli.tables import plain

    err.print(Text(plain(what), style="bold red"), soft_wrap=True)
