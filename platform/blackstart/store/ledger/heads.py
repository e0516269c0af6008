"""Heads: where each writer's chain stood last, kept apart from the lines themselves.

A chain shows what was changed within it, but not that its end was cut off, nor
that all of it was written anew. A head in another place shows both. It is
written behind each line and need not be synced: one that lags is right, too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from blackstart.durable import make_folder
from blackstart.errors import ObjectNotFoundError
from blackstart.store.ledger.line import START, Position, read_line, write_line
from blackstart.store.ledger.segment import Ledger, SegmentName
from blackstart.store.objects import ObjectStore

SUFFIX = ".head"
SIZE = 256
"""All heads are of this size, so that a new one covers the old one whole."""


@dataclass(frozen=True)
class Head:
    """The last line that a writer acknowledged."""

    segment: SegmentName
    position: Position

    @property
    def writer(self) -> str:
        return self.segment.writer

    def encode(self) -> bytes:
        fields = {
            "writer": self.segment.writer,
            "segment": self.segment.number,
            "line": self.position.seq,
            "line_sum": self.position.sum,
        }
        line, _ = write_line(fields, START)
        return line.rstrip().ljust(SIZE - 1) + b"\n"

    @classmethod
    def decode(cls, ledger: Ledger, data: bytes) -> Head:
        """Raises: ValueError that says what is wrong with it."""
        fields = read_line(data.strip()).fields
        writer, number = fields.get("writer"), fields.get("segment")
        seq, checksum = fields.get("line"), fields.get("line_sum")
        if not (isinstance(writer, str) and isinstance(checksum, str)):
            raise ValueError("it names no line")
        if type(number) is not int or type(seq) is not int:
            raise ValueError("it names no line")
        return cls(ledger.segment(writer, number), Position(seq, checksum))


class HeadFiles:
    """Heads in a local folder, one file for each writer. The calls block and raise OSError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, head: Head) -> None:
        """Put a head in the place of its writer's last one."""
        path = self.folder / f"{head.writer}{SUFFIX}"
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            make_folder(self.folder)
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(file, head.encode(), 0)
        finally:
            os.close(file)

    def read(self) -> Iterator[tuple[str, bytes]]:
        """The name and the bytes of each."""
        try:
            names = sorted(os.listdir(self.folder))
        except FileNotFoundError:
            return
        for name in names:
            if name.endswith(SUFFIX):
                yield name, (self.folder / name).read_bytes()


async def store_head(objects: ObjectStore, head: Head) -> None:
    """Raises: StorageError."""
    await objects.put(f"{_prefix(head.segment.ledger)}{head.writer}{SUFFIX}", head.encode())


async def stored_heads(objects: ObjectStore, ledger: Ledger) -> list[tuple[str, bytes]]:
    """The key and the bytes of each head in the object store. Raises: StorageError."""
    found = []
    for key in await objects.list_keys(_prefix(ledger)):
        try:
            found.append((key, await objects.get(key)))
        except ObjectNotFoundError:
            continue
    return found


def _prefix(ledger: Ledger) -> str:
    return f"{ledger.prefix}heads/"
