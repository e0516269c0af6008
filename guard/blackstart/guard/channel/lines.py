"""The embedded channel: what was told, as lines in a file that survive and can be read by anybody.

The newest lines are kept; the audit trail has them all. The calls block.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from blackstart.durable import fsync_folder, make_folder, replace_file
from blackstart.store.backend import storage_errors
from blackstart.store.ledger.times import read_time, time_text

FILE = "channel.jsonl"
LOCK = "lock"
POSTED = "posted"
KEPT = 1_000


@dataclass(frozen=True)
class ChannelLine:
    """One message; numbers count from 1 and are never given twice."""

    number: int
    at: datetime
    text: str
    request: int | None = None

    def encode(self) -> bytes:
        row = {"number": self.number, "at": time_text(self.at), "text": self.text}
        if self.request is not None:
            row["request"] = self.request
        return json.dumps(row).encode() + b"\n"

    @classmethod
    def decode(cls, data: bytes) -> ChannelLine | None:
        """None for what is no line: a crash tore it."""
        try:
            row: Any = json.loads(data)
            return cls(int(row["number"]), read_time(row["at"]), row["text"], row.get("request"))
        except (ValueError, KeyError, TypeError):
            return None


class ChannelFile:
    """Lines in one folder. Several processes may write. Raises (all methods): StorageError."""

    def __init__(self, folder: Path, *, kept: int = KEPT) -> None:
        self._folder = folder
        self._path = folder / FILE
        self._kept = kept
        with self._errors():
            make_folder(folder)

    def add(self, at: datetime, text: str, request: int | None = None) -> ChannelLine:
        """A line that is on the disk when this returns."""
        with self._errors(), self._locked():
            lines = self._read()
            number = max([self._posted(), *(line.number for line in lines)]) + 1
            line = ChannelLine(number, at, text, request)
            if len(lines) >= 2 * self._kept:
                kept = [*lines[-self._kept :], line]
                replace_file(self._path, b"".join(each.encode() for each in kept))
            else:
                self._append(line)
            return line

    def lines(self, after: int = 0) -> list[ChannelLine]:
        """Those behind a number, oldest first."""
        with self._errors():
            return [line for line in self._read() if line.number > after]

    def posted(self) -> int:
        """The number of the last line that went out by the webhook.

        With a new webhook that is the newest there is: nobody wants the old ones.
        """
        with self._errors(), self._locked():
            if not (self._folder / POSTED).exists():
                self._note_posted(max((line.number for line in self._read()), default=0))
            return self._posted()

    def note_posted(self, number: int) -> None:
        with self._errors():
            self._note_posted(number)

    def _note_posted(self, number: int) -> None:
        replace_file(self._folder / POSTED, b"%d\n" % number)

    def _posted(self) -> int:
        try:
            return int((self._folder / POSTED).read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def _read(self) -> list[ChannelLine]:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return []
        found = (ChannelLine.decode(line) for line in data.splitlines())
        return [line for line in found if line is not None]

    def _append(self, line: ChannelLine) -> None:
        new = not self._path.exists()
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(file).st_size
            torn = size and os.pread(file, 1, size - 1) != b"\n"
            os.write(file, (b"\n" if torn else b"") + line.encode())
            os.fsync(file)
        finally:
            os.close(file)
        if new:
            fsync_folder(self._folder)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._folder / LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _errors(self) -> Iterator[None]:
        with storage_errors(f"cannot keep the channel in {self._folder}"):
            yield
