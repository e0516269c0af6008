"""The index on disk: one SQLite table with a row for each entry, and a few named values."""

from __future__ import annotations

import json
import os
import sqlite3
import struct
import threading
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import structlog

from blackstart.cdn.storage.entry import Entry

log = structlog.get_logger(__name__)

Row = tuple[Any, ...]
APPLICATION_ID = 0x626C6B73
VERSION = 2

_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE entries (
    number INTEGER PRIMARY KEY, key TEXT, selecting TEXT, status INTEGER, head BLOB, size INTEGER,
    part TEXT, stored_at REAL, initial_age_s REAL, lifetime_s REAL, stale_if_error_s REAL,
    stale_while_revalidate_s REAL, rules INTEGER, tags TEXT, plan TEXT, sum INTEGER
);
CREATE INDEX entries_by_key ON entries (key);
CREATE TABLE named (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
COMMIT;
"""
_INSERT = f"INSERT OR REPLACE INTO entries VALUES ({', '.join('?' * 16)})"
_CHANGE = """
UPDATE entries SET
    key = ?, selecting = ?, status = ?, head = ?, size = ?, part = ?, stored_at = ?,
    initial_age_s = ?, lifetime_s = ?, stale_if_error_s = ?, stale_while_revalidate_s = ?,
    rules = ?, tags = ?, plan = ?, sum = ?
WHERE number = ?
"""
# See `_sum_of`.
_MARK_STALE = "UPDATE entries SET sum = -abs(sum)"
_NUMBERS = struct.Struct("<4q5d")
_BATCH = 500
_CACHE_KIB = 256


class Table:
    """The one connection to an index, which no other may open meanwhile.

    One thread writes, in transactions; others read what it has committed, between them. As
    nobody shares the index, SQLite needs no file in shared memory, which would kill the process
    if it were cut. Every call raises sqlite3.Error.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._turn = threading.RLock()
        self._in_transaction = False
        self._database = _connect(path)

    @classmethod
    def open(cls, path: Path) -> Table:
        """The table at a path; what is no cache index, or damaged, is set aside and begun anew."""
        try:
            return cls._opened(path)
        except sqlite3.OperationalError:
            raise
        except (sqlite3.DatabaseError, ValueError) as error:
            log.warning("cache index cannot be used and is begun anew", error=str(error))
            set_aside(path)
            return cls._opened(path)

    @classmethod
    def _opened(cls, path: Path) -> Table:
        table = cls(path)
        table._prepare_or_close()
        return table

    def begin_anew(self) -> None:
        """Set the file aside and go on with an empty index. Raises: OSError, too"""
        with self._turn:
            self._database.close()
            set_aside(self.path)
            self._database = _connect(self.path)
            self._prepare_or_close()

    def _prepare_or_close(self) -> None:
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        ask = self._database.execute
        (version,) = ask("PRAGMA user_version").fetchone()
        (application,) = ask("PRAGMA application_id").fetchone()
        (tables,) = ask("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and (application, version) != (APPLICATION_ID, VERSION):
            raise ValueError("it is another program's, or another version's")
        ask("PRAGMA journal_mode = WAL")
        ask("PRAGMA synchronous = NORMAL")
        if not tables:
            self._database.executescript(_SCHEMA)

    def value(self, name: str) -> str | None:
        """A named value, or None."""
        rows = self._read("SELECT value FROM named WHERE name = ?", [name])
        return str(rows[0][0]) if rows else None

    def begin(self, *, durable: bool) -> None:
        """Start a transaction; a durable one is on the disk, with all before it, when it ends.

        It ends with `commit`, and where that fails or is not reached with `rollback`.
        """
        self._turn.acquire()
        self._in_transaction = True
        self._database.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        self._database.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        self._database.execute("COMMIT")
        self._ended()

    def rollback(self) -> None:
        try:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
        finally:
            self._ended()

    def _ended(self) -> None:
        if self._in_transaction:
            self._in_transaction = False
            self._turn.release()

    def rows_between(self, after: int, before: int, count: int) -> list[Row]:
        """The next rows with numbers above `after` and below `before`."""
        return self._read(
            "SELECT * FROM entries WHERE number > ? AND number < ? ORDER BY number LIMIT ?",
            [after, before, count],
        )

    def page(self, key: str, before: int) -> list[tuple[int, Entry]]:
        """The entries of one page with numbers below `before`, in order."""
        rows = self._read(
            "SELECT * FROM entries WHERE key = ? AND number < ? ORDER BY number", [key, before]
        )
        return [_entry_of(row, {}) for row in rows]

    def _read(self, query: str, arguments: list[Any]) -> list[Row]:
        with self._turn:
            try:
                return self._database.execute(query, arguments).fetchall()
            except UnicodeDecodeError as error:  # Of a column's name, where the schema is damaged.
                raise sqlite3.DatabaseError(f"the schema is damaged: {error}") from error

    def put(self, rows: Iterable[Row]) -> None:
        self._database.executemany(_INSERT, rows)

    def change(self, row: Row) -> None:
        """A row in the place of the one with its number, if that is there."""
        self._database.execute(_CHANGE, [*row[1:], row[0]])

    def delete(self, numbers: Iterable[int]) -> None:
        self._database.executemany(
            "DELETE FROM entries WHERE number = ?", [(number,) for number in numbers]
        )

    def mark_stale(self, numbers: Iterable[int]) -> None:
        self._database.executemany(
            f"{_MARK_STALE} WHERE number = ?", [(number,) for number in numbers]
        )

    def mark_stale_before(self, number: int) -> None:
        self._database.execute(f"{_MARK_STALE} WHERE number < ?", [number])

    def delete_pages_before(self, keys: Iterable[str], number: int) -> None:
        self._database.executemany(
            "DELETE FROM entries WHERE key = ? AND number < ?", [(key, number) for key in keys]
        )

    def set(self, name: str, value: int | str) -> None:
        self._database.execute("INSERT OR REPLACE INTO named VALUES (?, ?)", [name, value])

    def close(self) -> None:
        with self._turn:
            self._database.close()


class Reader:
    """The entries with numbers below `before`, in order, in batches."""

    def __init__(self, table: Table, before: int) -> None:
        self._table = table
        self._before = before
        self._after = -1
        self._texts: dict[str, Any] = {}

    def batch(self) -> list[tuple[int, Entry]]:
        """The next entries; none at the end. Raises: sqlite3.Error"""
        rows = self._table.rows_between(self._after, self._before, _BATCH)
        found = [_entry_of(row, self._texts) for row in rows]
        if found:
            self._after = found[-1][0]
        return found


def row_of(number: int, entry: Entry) -> Row:
    """An entry as a row."""
    row = (
        number,
        entry.key,
        json.dumps(entry.selecting) if entry.selecting else "[]",
        entry.status,
        entry.head,
        entry.size,
        json.dumps(entry.part),
        entry.stored_at,
        entry.initial_age_s,
        entry.lifetime_s,
        entry.stale_if_error_s,
        entry.stale_while_revalidate_s,
        entry.rules,
        json.dumps(entry.tags),
        entry.plan,
    )
    total = _sum_of(row)
    return *row, -total if entry.stale else total


def _sum_of(row: Row) -> int:
    """The checksum of a row's other columns: SQLite has none, and reads a flipped bit as it is.

    It is above 0, and kept negative where the entry is stale, so that no flipped bit makes that
    one fresh. Raises: TypeError, ValueError, struct.error when a column has the wrong type.
    """
    (
        number, key, selecting, status, head, size, part,
        stored_at, initial_age_s, lifetime_s, stale_if_error_s, stale_while_revalidate_s,
        rules, tags, plan,
    ) = row  # fmt: skip
    numbers = _NUMBERS.pack(
        number, status, size, rules,
        stored_at, initial_age_s, lifetime_s, stale_if_error_s, stale_while_revalidate_s,
    )  # fmt: skip
    texts = "\0".join((key, selecting, part, tags, plan)).encode("utf-8", "surrogatepass")
    return 1 + zlib.crc32(b"".join((numbers, texts, head)))


def set_aside(path: Path) -> None:
    """Move a file that is no index out of the way, for good. Raises: OSError"""
    path.replace(path.with_name(f"{path.name}.set-aside"))
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        # Has to be said before the file is first looked into.
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        # The entries are in memory already; SQLite's own cache of 2 MiB would hold them again.
        database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    except BaseException:
        database.close()
        raise
    return database


def _entry_of(row: Row, texts: dict[str, Any]) -> tuple[int, Entry]:
    """An entry from its row; `texts` remembers what was read, for many rows are alike.

    Raises: sqlite3.DatabaseError when the row is not as it was written.
    """
    columns, total = row[:-1], row[-1]
    number, key, selecting, status, head, size, part, *times, rules, tags, plan = columns
    try:
        if abs(total) != _sum_of(columns):
            raise ValueError("its checksum is another")
        stored_at, initial_age_s, lifetime_s, stale_if_error_s, stale_while_revalidate_s = times
        entry = Entry(
            key,
            ()
            if selecting == "[]"
            else tuple([(name, value) for name, value in json.loads(selecting)]),
            status,
            head,
            size,
            None if part == "null" else tuple(json.loads(part)),
            stored_at,
            initial_age_s,
            lifetime_s,
            stale_if_error_s,
            stale_while_revalidate_s,
            rules,
            texts.get(tags) or texts.setdefault(tags, tuple(json.loads(tags))),
            str(texts.setdefault(plan, plan)),
            total < 0,
        )
    except (TypeError, ValueError, struct.error) as error:
        raise sqlite3.DatabaseError(f"row {number} is no entry: {error}") from error
    return number, entry
