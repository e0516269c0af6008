"""Where a guard keeps what it did: one file of JSON lines, durable before a write runs."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog
from bson import json_util

from blackstart.clock import Clock
from blackstart.durable import make_folder
from blackstart.guard.rules.command import SESSION_FIELDS
from blackstart.store.threads import in_thread

FAILURE = "what happens cannot be put on record"
_log = structlog.get_logger(__name__)


def plain_command(document: Mapping[str, Any]) -> dict[str, Any]:
    """A command as JSON has it, without what names its session."""
    kept = {key: each for key, each in document.items() if key not in SESSION_FIELDS | {"$db"}}
    text = json_util.dumps(kept, json_options=json_util.RELAXED_JSON_OPTIONS)
    found: dict[str, Any] = json.loads(text)
    return found


class FileTrail:
    """An audit trail in one file."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """Raises: OSError."""
        make_folder(path.parent)
        self._clock = clock
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    async def record(self, action: str, **details: Any) -> None:
        """Durable when this returns. Raises: StorageError."""
        line = self._line(action, details)
        await in_thread(FAILURE, self._write, line)

    def note(self, action: str, **details: Any) -> None:
        """Written, and durable when the system gets to it."""
        os.write(self._file, self._line(action, details))

    def close(self) -> None:
        os.close(self._file)

    def _line(self, action: str, details: dict[str, Any]) -> bytes:
        row = {"at": self._clock.now().isoformat(), "action": action, **details}
        return json.dumps(row, default=str).encode() + b"\n"

    def _write(self, line: bytes) -> None:
        os.write(self._file, line)
        os.fsync(self._file)


class LogChannel:
    """Tells people by the guard's own log."""

    async def tell(self, text: str, *, request: int | None = None) -> None:
        _log.warning("channel", text=text, request=request)
