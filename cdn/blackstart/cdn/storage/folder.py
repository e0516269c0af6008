"""The folder of a cache: who has it, where in it a body lies, and what earlier runs left there.

Everything here runs in threads.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path

import structlog

from blackstart.cdn.storage.files import Files
from blackstart.cdn.storage.table import Table, set_aside
from blackstart.errors import UsageError

log = structlog.get_logger(__name__)

_SEQUENCE_BITS = 40
_FOLDER_BITS = 12


def first_number(opening: int) -> int:
    """The number of the first body that is stored by the run with this number."""
    return opening << _SEQUENCE_BITS


class Folder:
    """`index.sqlite`, `lock`, `bodies/RUN/GROUP/NUMBER`, and in `coming` what is being written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.index = path / "index.sqlite"
        self._bodies = path / "bodies"
        self._coming = path / "coming"
        self._lock: int | None = None

    def path_of(self, number: int) -> Path:
        """Where the body with this number lies."""
        group = (number & ((1 << _SEQUENCE_BITS) - 1)) >> _FOLDER_BITS
        return self._bodies / str(number >> _SEQUENCE_BITS) / str(group) / str(number)

    def scratch_of(self, number: int) -> Path:
        """Where it is written before it gets its place."""
        return self._coming / str(number)

    def take(self) -> tuple[Table, int, str | None]:
        """The index, the number of this run, and the position in the log of purges.

        Raises: UsageError when another process has the folder; OSError, sqlite3.Error
        """
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock_folder()
        try:
            for folder in (self._bodies, self._coming):
                folder.mkdir(exist_ok=True)
            return self._open_index()
        except BaseException:
            self.release()
            raise

    def set_aside_unread(self) -> None:
        """Have the next run find nothing, where this one could not take the folder.

        Raises: UsageError when another process has the folder; OSError
        """
        if not self.index.exists():
            return
        self._lock_folder()
        try:
            set_aside(self.index)
        finally:
            self.release()

    def release(self) -> None:
        """Leave the folder to others."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def sweep(self, files: Files, before: int, live: set[int]) -> None:
        """Remove the bodies with numbers below `before` that are not live. Raises: OSError"""
        present = self.path_of(before).parent.parent
        folders = [path for path in self._bodies.iterdir() if path != present]
        for top in [*folders, self._coming]:
            for folder, _, names in os.walk(top, topdown=False):
                if self._lock is None:
                    return
                for name in filter(str.isdecimal, names):
                    if int(name) < before and int(name) not in live:
                        files.unlink(Path(folder, name))
                if top != self._coming:
                    _remove_if_empty(Path(folder))

    def _lock_folder(self) -> None:
        self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.release()
            raise UsageError(
                f"the cache folder {self.path} is used by another process",
                hint="give each node a folder of its own",
            ) from error

    def _open_index(self) -> tuple[Table, int, str | None]:
        try:
            return self._begin(Table.open(self.index))
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            log.warning("cache index is damaged and is begun anew", error=str(error))
            set_aside(self.index)
            return self._begin(Table.open(self.index))

    def _begin(self, table: Table) -> tuple[Table, int, str | None]:
        """Number this run past all earlier ones, also those that a new index knows nothing of."""
        try:
            used = [int(path.name) for path in self._bodies.iterdir() if path.name.isdecimal()]
            opening = max([_opening_of(table), *used]) + 1
            position = table.value("position")
            table.begin(durable=True)
            table.set("opening", opening)
            table.commit()
        except BaseException:
            table.close()
            raise
        return table, opening, position


def _opening_of(table: Table) -> int:
    """The number of the last run that the index knows of. Raises: sqlite3.Error"""
    value = table.value("opening") or "0"
    if not (value.isascii() and value.isdigit()):
        raise sqlite3.DatabaseError(f"the number of its last run is {value!r}")
    return int(value)


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return
