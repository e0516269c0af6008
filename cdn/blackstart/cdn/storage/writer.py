"""The one thread that changes a cache folder, in the order it is asked to: files, then index.

What fails is lost, never half there: its file goes, its row is owed a removal
until that has been done, and whoever asked hears of it.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from blackstart.cdn.storage.entry import OnDisk
from blackstart.cdn.storage.files import Files
from blackstart.cdn.storage.table import Table
from blackstart.errors import StorageError

log = structlog.get_logger(__name__)

_BATCH = 256
_HINT = "free some space or replace the disk; until then the node serves from memory"


class Job:
    """One thing to do. `nodes` are the bodies that are lost when it fails."""

    nodes: tuple[OnDisk, ...] = ()

    def prepare(self, files: Files) -> None:
        """Before the index changes. Raises: OSError"""

    def apply(self, table: Table) -> None:
        """Change the index. Raises: sqlite3.Error"""

    def give_up(self) -> None:
        """Nobody will do it any more."""


@dataclass(slots=True)
class Report:
    """What came of a batch. `anew`: the index was damaged, all that it had is lost."""

    done: list[OnDisk] = field(default_factory=list)
    lost: list[OnDisk] = field(default_factory=list)
    error: Exception | None = None
    anew: bool = False


@dataclass(slots=True)
class _Flush:
    """Done when all before it is; a durable one when all of that survives a power failure."""

    done: Future[None]
    durable: bool


@dataclass(slots=True)
class _Removal:
    numbers: tuple[int, ...]


class Writer:
    """Takes jobs from any thread, and reports each batch from its own."""

    def __init__(
        self,
        table: Table,
        files: Files,
        path_of: Callable[[int], Path],
        opening: int,
        report: Callable[[Report], None],
    ) -> None:
        self._table = table
        self._files = files
        self._path_of = path_of
        self._opening = opening
        self._report = report
        self._jobs: queue.SimpleQueue[Job | _Removal | _Flush | None] = queue.SimpleQueue()
        self._owed: dict[int, None] = {}
        self._lock = threading.Lock()
        self.has_ended = False
        self._thread = threading.Thread(target=self._run, name="cdn-disk", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Do it in its turn."""
        with self._lock:
            if not self.has_ended:
                self._jobs.put(job)
                return
        job.give_up()

    def remove(self, numbers: tuple[int, ...]) -> None:
        """Take rows out of the index, then files off the disk."""
        self._jobs.put(_Removal(numbers))

    def flush(self, *, durable: bool) -> Future[None]:
        """Done when all before is. Fails with StorageError when a durable one cannot be kept."""
        flush = _Flush(Future(), durable)
        with self._lock:
            if self.has_ended:
                flush.done.set_exception(StorageError("the cache disk is no longer written"))
            else:
                self._jobs.put(flush)
        return flush.done

    def stop(self) -> None:
        """Do what was asked for so far, and end."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        batch: list[Job | _Removal | _Flush] = []
        try:
            while self._take(batch):
                self._do(batch)
                batch.clear()
            self._do(batch)
            batch.clear()
        except BaseException as error:
            self._report(Report(error=StorageError(f"the cache's writer ended: {error!r}")))
        finally:
            self._end(batch)

    def _take(self, batch: list[Job | _Removal | _Flush]) -> bool:
        """Wait for jobs; False when there will be no more."""
        while True:
            job = self._jobs.get()
            if job is None:
                return False
            batch.append(job)
            if len(batch) >= _BATCH or self._jobs.empty():
                return True

    def _end(self, batch: list[Job | _Removal | _Flush]) -> None:
        with self._lock:
            self.has_ended = True
        rest: list[object] = list(batch)
        while not self._jobs.empty():
            rest.append(self._jobs.get())
        for job in rest:
            if isinstance(job, Job):
                job.give_up()
        _answer(rest, StorageError("the cache disk is no longer written"))
        self._table.close()

    def _do(self, batch: list[Job | _Removal | _Flush]) -> None:
        report = Report()
        ready: list[Job | _Removal] = []
        for job in batch:
            if isinstance(job, _Flush):
                continue
            if isinstance(job, Job):
                try:
                    job.prepare(self._files)
                except OSError as error:
                    self._lose(job.nodes, error, report)
                    continue
            ready.append(job)
        durable = any(isinstance(job, _Flush) and job.durable for job in batch)
        problem = None
        if durable or ready or self._owed:
            problem = self._change_index(ready, report, durable=durable)
        self._report(report)
        _answer(batch, problem)

    def _change_index(
        self, ready: list[Job | _Removal], report: Report, *, durable: bool
    ) -> StorageError | None:
        owed = list(self._owed)
        try:
            self._transact(ready, durable=durable)
        except sqlite3.Error as error:
            for job in ready:
                if isinstance(job, Job):
                    self._lose(job.nodes, error, report)
                else:
                    self._owe(job.numbers, report)
            report.error = error
            if _is_damage(error) and self._begin_anew(error, report):
                return None
            return StorageError(f"the cache index cannot be written: {error}", hint=_HINT)
        for job in ready:
            if isinstance(job, Job):
                report.done += job.nodes
            else:
                owed += job.numbers
        for number in owed:
            self._unlink(number, report)
        return None

    def _transact(self, ready: list[Job | _Removal], *, durable: bool) -> None:
        table = self._table
        try:
            table.begin(durable=durable)
            if durable:
                table.set("flushed", self._opening)  # Without a write nothing would be synced.
            for job in ready:
                if isinstance(job, Job):
                    job.apply(table)
                else:
                    table.delete(job.numbers)
            table.delete(self._owed)
            self._files.about_to_commit()
            table.commit()
        except sqlite3.Error:
            table.rollback()
            raise
        self._owed.clear()
        self._files.committed()

    def _lose(self, nodes: tuple[OnDisk, ...], error: Exception, report: Report) -> None:
        report.error = error
        report.lost += nodes
        self._owe([node.number for node in nodes], report)

    def _owe(self, numbers: Iterable[int], report: Report) -> None:
        """Their files go now: that frees space, and a row that stays behind finds no body."""
        for number in numbers:
            self._owed[number] = None
            self._unlink(number, report)

    def _begin_anew(self, damage: sqlite3.Error, report: Report) -> bool:
        try:
            self._table.begin_anew()
            self._table.begin(durable=True)
            self._table.set("opening", self._opening)
            self._table.commit()
        except (OSError, sqlite3.Error) as error:
            report.error = error
            with suppress(sqlite3.Error):
                self._table.rollback()
            return False
        log.warning("cache index is damaged and is begun anew", error=str(damage))
        self._owed.clear()
        report.anew = True
        report.error = None
        return True

    def _unlink(self, number: int, report: Report) -> None:
        try:
            self._files.unlink(self._path_of(number))
        except OSError as error:
            report.error = error


def _answer(batch: Iterable[object], problem: StorageError | None) -> None:
    for job in batch:
        if isinstance(job, _Flush) and job.done.set_running_or_notify_cancel():
            if problem is not None and job.durable:
                job.done.set_exception(problem)
            else:
                job.done.set_result(None)


def _is_damage(error: sqlite3.Error) -> bool:
    """The index is torn or no index; not one that cannot be written just now."""
    return isinstance(error, sqlite3.DatabaseError) and not isinstance(
        error, (sqlite3.OperationalError, sqlite3.ProgrammingError)
    )
