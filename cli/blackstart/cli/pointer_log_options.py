"""What the commands of the pointer log share: where the log is, and what it is called."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from blackstart.cli.ledgers import Words
from blackstart.cli.object_store import must_exist

if TYPE_CHECKING:
    from blackstart.settings import Settings
    from blackstart.store import ObjectStore

WORDS = Words("log", "pointer", "blackstart pointer-log verify")


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
    must_exist(settings.object_store)
    folder = settings.pointer_log
    if "pointer_log" not in settings.model_fields_set and not folder.is_dir():
        print(
            "no local part here: the newest pointers may be missing"
            " (BLACKSTART_POINTER_LOG names the folder)",
            file=sys.stderr,
        )
        return settings, ObjectStore.open(settings.object_store), None
    return settings, ObjectStore.open(settings.object_store), folder
