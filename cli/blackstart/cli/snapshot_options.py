"""Which bucket and database the snapshot commands work on, and how they name a snapshot."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from blackstart.recovery.settings import RecoverySettings
    from blackstart.recovery.snapshots import Snapshot, Snapshots
    from blackstart.store import MetadataStore

ENDED_BY_SIGTERM = 143

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SnapshotId = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="As `snapshot list` shows it, the beginning of it, or `newest`."
    ),
]


def load_settings() -> RecoverySettings:
    """Raises: UsageError that names the setting at fault."""
    from blackstart.recovery.settings import RecoverySettings
    from blackstart.settings import load

    return load(RecoverySettings)


def open_snapshots(settings: RecoverySettings) -> Snapshots:
    """The snapshots in the bucket that is named. Raises: UsageError, StorageError."""
    from blackstart.errors import UsageError
    from blackstart.recovery.snapshots import Sealer, Snapshots
    from blackstart.store import ObjectStore

    if not settings.object_store:
        raise UsageError(
            "snapshots are kept in the object store, and none is named",
            hint="set BLACKSTART_OBJECT_STORE to that of the platform",
        )
    key = settings.snapshot_key.get_secret_value()
    sealer = Sealer.from_text(key) if key else None
    return Snapshots(ObjectStore.open(settings.needed_object_store()), sealer=sealer)


@asynccontextmanager
async def open_database(settings: RecoverySettings) -> AsyncIterator[MetadataStore]:
    """The database that is named. Raises: UsageError when none is; DatabaseError."""
    from blackstart.errors import UsageError
    from blackstart.store.metadata import connect

    if not settings.mongodb_uri:
        raise UsageError(
            "a snapshot is taken of a database, and none is named",
            hint="set BLACKSTART_MONGODB_URI to that of the platform",
        )
    async with connect(settings.mongodb_uri, settings.database) as store:
        yield store


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


def complain(what: str) -> None:
    """Say on stderr what must not be overlooked."""
    from rich.text import Text

    from blackstart.cli.console import err
    from blackstart.cli.tables import plain

    err.print(Text(plain(what), style="bold red"), soft_wrap=True)


@contextmanager
def bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr that people in a terminal see; what it gives is told of progress."""
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    from blackstart.cli.console import err

    with Progress(
        *Progress.get_default_columns()[:2],
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    ) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)
