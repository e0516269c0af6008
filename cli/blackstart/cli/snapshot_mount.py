"""`blackstart snapshot mount`: a read-only MongoDB over a snapshot, while the command runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from blackstart.cli.snapshot_options import (
    ENDED_BY_SIGTERM,
    Before,
    SnapshotId,
    choose,
    complain,
    load_settings,
    moment_of,
    open_snapshots,
)

if TYPE_CHECKING:
    from datetime import datetime
    from socket import socket

    from blackstart.recovery.settings import RecoverySettings
    from blackstart.recovery.snapshots import Snapshot


def mount(
    snapshot_id: SnapshotId,
    port: Annotated[
        int, typer.Option(min=0, max=65_535, metavar="P", help="On 127.0.0.1; 0 takes a free one.")
    ] = 0,
    before: Before = None,
) -> None:
    """Read a snapshot with mongosh, Compass or any driver; nothing is restored. Ctrl-C ends it.

    The address goes to stdout, all else to stderr.
    """
    from blackstart import service

    settings = load_settings()
    service.configure_logs("warning", settings.log_format)
    with service.bind(f"127.0.0.1:{port}") as sock:
        service.run(_serve(settings, snapshot_id, moment_of(before, snapshot_id), sock))
    raise typer.Exit(ENDED_BY_SIGTERM)


async def _serve(
    settings: RecoverySettings, wanted: str, before: datetime | None, sock: socket
) -> None:
    from blackstart.clock import WallClock
    from blackstart.recovery.mount import Mount
    from blackstart.seed import Seed

    snapshots = open_snapshots(settings)
    reader = await snapshots.open(await choose(snapshots, wanted, before, settings.database))
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
