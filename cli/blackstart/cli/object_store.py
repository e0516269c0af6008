"""The object store that a command only reads: it must be there."""

from __future__ import annotations

from pathlib import Path


def must_exist(store: str) -> None:
    """Opening a folder would make it. Raises: UsageError."""
    from blackstart.errors import UsageError

    path = store.removeprefix("file://")
    if "://" not in path and not Path(path).is_dir():
        raise UsageError(f"there is no object store at {path}", hint="see BLACKSTART_OBJECT_STORE")
