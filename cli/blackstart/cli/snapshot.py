"""`blackstart snapshot`: snapshots of the database in the object store."""

from __future__ import annotations

import typer

from blackstart.cli.snapshot_diff import diff
from blackstart.cli.snapshot_find import find
from blackstart.cli.snapshot_list import list_snapshots
from blackstart.cli.snapshot_mount import mount
from blackstart.cli.snapshot_prune import prune
from blackstart.cli.snapshot_restore import restore, undo
from blackstart.cli.snapshot_schedule import schedule
from blackstart.cli.snapshot_show import show
from blackstart.cli.snapshot_take import take
from blackstart.cli.snapshot_verify import verify

snapshot = typer.Typer(
    name="snapshot",
    rich_markup_mode="rich",
    help="Snapshots of the database in the object store: taken, listed and read. This talks "
    "straight to BLACKSTART_MONGODB_URI, BLACKSTART_DATABASE and BLACKSTART_OBJECT_STORE. "
    "BLACKSTART_SNAPSHOT_KEY seals them.",
)
snapshot.command()(take)
snapshot.command("list")(list_snapshots)
snapshot.command()(show)
snapshot.command()(verify)
snapshot.command()(find)
snapshot.command()(mount)
snapshot.command()(diff)
snapshot.command()(restore)
snapshot.command()(undo)
snapshot.command()(prune)
snapshot.command()(schedule)
