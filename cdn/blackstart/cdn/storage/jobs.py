"""What the writer of a cache folder is asked to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from blackstart.cdn.storage.bodyfile import SpoolFile, write_body
from blackstart.cdn.storage.entry import OnDisk
from blackstart.cdn.storage.files import Files
from blackstart.cdn.storage.table import Row, Table
from blackstart.cdn.storage.writer import Job


class Store(Job):
    """A whole body into its file, then its row into the index."""

    def __init__(self, node: OnDisk, row: Row, body: bytes, path: Path, scratch: Path) -> None:
        self.nodes = (node,)
        self._row = row
        self._key = node.entry.key
        self._body = body
        self._path = path
        self._scratch = scratch

    def prepare(self, files: Files) -> None:
        number = self.nodes[0].number
        write_body(files, self._path, self._scratch, self._key, number, self._body)

    def apply(self, table: Table) -> None:
        table.put([self._row])


class StoreSpool(Job):
    """The same with a body that was spooled as it came."""

    def __init__(self, node: OnDisk, row: Row, file: SpoolFile, path: Path) -> None:
        self.nodes = (node,)
        self._row = row
        self._file = file
        self._path = path

    def prepare(self, files: Files) -> None:
        self._file.finish(self._path)

    def apply(self, table: Table) -> None:
        table.put([self._row])


class Change(Job):
    """Another row for a body that is there."""

    def __init__(self, node: OnDisk, row: Row) -> None:
        self.nodes = (node,)
        self._row = row

    def apply(self, table: Table) -> None:
        table.change(self._row)


class MarkStale(Job):
    """Note that bodies are stale."""

    def __init__(self, nodes: Iterable[OnDisk]) -> None:
        self.nodes = tuple(nodes)

    def apply(self, table: Table) -> None:
        table.mark_stale([node.number for node in self.nodes])


class Index(Job):
    """Another change of the index."""

    def __init__(self, change: Callable[[Table], None]) -> None:
        self._change = change

    def apply(self, table: Table) -> None:
        self._change(table)


class Append(Job):
    """More of a spooled body; `heard` is told how many bytes that were, or -1 when it failed."""

    def __init__(self, file: SpoolFile, chunk: bytes, heard: Callable[[int], None]) -> None:
        self._file = file
        self._chunk = chunk
        self._heard = heard

    def prepare(self, files: Files) -> None:
        try:
            self._file.append(self._chunk)
        except OSError:
            self.give_up()
            raise
        self._heard(len(self._chunk))

    def give_up(self) -> None:
        self._heard(-1)


class Remove(Job):
    """A spooled body is not wanted."""

    def __init__(self, file: SpoolFile) -> None:
        self._file = file

    def prepare(self, files: Files) -> None:
        self._file.give_up()
