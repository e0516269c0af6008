"""What the commands of the pointer log share: where the log is, and what is wrong with it."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from blackstart.settings import Settings
    from blackstart.store import ObjectStore
    from blackstart.store.pointers import LogProblem

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def the_settings() -> tuple[Settings, ObjectStore, Path | None]:
    """Settings, object store, and the local folder; None where this machine has none.

    Raises: UsageError.
    """
    from blackstart.errors import UsageError
    from blackstart.settings import Settings, load
    from blackstart.store import ObjectStore

    settings = load(Settings)
    if not settings.object_store or settings.object_store.startswith("memory:"):
        raise UsageError(
            "the log is in the object store, and none is named",
            hint="set BLACKSTART_OBJECT_STORE to that of the control API",
        )
    _must_exist(settings.object_store)
    folder = settings.pointer_log
    if "pointer_log" not in settings.model_fields_set and not folder.is_dir():
        print(
            "no local part here: the newest pointers may be missing"
            " (BLACKSTART_POINTER_LOG names the folder)",
            file=sys.stderr,
        )
        return settings, ObjectStore.open(settings.object_store), None
    return settings, ObjectStore.open(settings.object_store), folder


def _must_exist(store: str) -> None:
    """Opening a folder would make it. Raises: UsageError."""
    from blackstart.errors import UsageError

    path = store.removeprefix("file://")
    if "://" not in path and not Path(path).is_dir():
        raise UsageError(f"there is no object store at {path}", hint="see BLACKSTART_OBJECT_STORE")


def hint_at(problems: list[LogProblem]) -> None:
    """Say that the log is not whole, on stderr."""
    if problems:
        count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
        print(f"the log has {count}: see `blackstart pointer-log verify`", file=sys.stderr)


def read_since(text: str) -> datetime:
    """A moment, or how long ago: `2017-02-02`, `2017-02-02T17:20Z`, `90m`, `7d`.

    Raises: UsageError.
    """
    from datetime import UTC

    from blackstart.clock import WallClock
    from blackstart.errors import UsageError

    number, unit = text[:-1], text[-1:]
    if unit in UNITS_S and number.isascii() and number.isdecimal():
        try:
            return WallClock().now() - timedelta(seconds=int(number) * UNITS_S[unit])
        except OverflowError as error:
            raise UsageError(f"{text} ago is before all time") from error
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        hint = "write 2017-02-02, 2017-02-02T17:20Z, or how long ago: 90m, 12h, 7d"
        raise UsageError(f"not a time: {text!r}", hint=hint) from error
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at
