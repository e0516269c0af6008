"""`blackstart snapshot mount`: a read-only MongoDB over a snapshot, while the command runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from blackstart.cli.snapshot_options import (
    ENDED_BY_SIGTERM,
    SnapshotId,
    complain,
    load_settings,
    open_snapshots,
)

if TYPE_CHECKING:
    from datetime import datetime
    from socket import socket

    from blackstart.recovery.settings import RecoverySettings
    from blackstart.recovery.snapshots import Snapshot, SnapshotReader, Snapshots


def mount(
    snapshot_id: SnapshotId,
    port: Annotated[
        int, typer.Option(min=0, max=65_535, metavar="P", help="On 127.0.0.1; 0 takes a free one.")
    ] = 0,
    before: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="With `newest`: the last one taken before, in ISO 8601."),
    ] = None,
) -> None:
    """Read a snapshot with mongosh, Compass or any driver; nothing is restored. Ctrl-C ends it.

    The address goes to stdout, all else to stderr.
    """
    from blackstart import service

    settings = load_settings()
    service.configure_logs("warning", settings.log_format)
    with service.bind(f"127.0.0.1:{port}") as sock:
        service.run(_serve(settings, snapshot_id, _moment(before, snapshot_id), sock))
    raise typer.Exit(ENDED_BY_SIGTERM)


async def _serve(
    settings: RecoverySettings, wanted: str, before: datetime | None, sock: socket
) -> None:
    from blackstart.clock import WallClock
    from blackstart.recovery.mount import Mount
    from blackstart.seed import Seed

    snapshots = open_snapshots(settings)
    reader = await _open(snapshots, wanted, before, settings.database)
    snapshot = reader.snapshot
    served = Mount(
        reader,
        snapshot.database,
        clock=WallClock(),
        seed=Seed.from_entropy(),
        name=f"snapshot {snapshot.id}",
    )
    address = f"mongodb://127.0.0.1:{sock.getsockname()[1]}/{snapshot.database}"
    await served.run(sock, lambda: _say(snapshot, f"{address}?directConnection=true"))


async def _open(
    snapshots: Snapshots, wanted: str, before: datetime | None, database: str
) -> SnapshotReader:
    """Raises: NotFoundError when there is none."""
    from blackstart.errors import NotFoundError

    if before is None:
        return await snapshots.open(await snapshots.resolve(wanted, database))
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
    return await snapshots.open(found[-1])


def _moment(text: str | None, wanted: str) -> datetime | None:
    """Raises: UsageError when it is no time, or goes with a snapshot that is named."""
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


def _say(snapshot: Snapshot, address: str) -> None:
    documents = sum(snapshot.counts.values())
    print(
        f"snapshot {snapshot.id} of {snapshot.taken_at:%Y-%m-%d %H:%M:%S} UTC, "
        f"{documents} documents, read-only; Ctrl-C ends it",
        file=sys.stderr,
    )
    if snapshot.is_empty:
        complain(f"snapshot {snapshot.id} is EMPTY: it holds no deploys")
    print(f"mongosh '{address}'", file=sys.stderr, flush=True)
    print(address, flush=True)
