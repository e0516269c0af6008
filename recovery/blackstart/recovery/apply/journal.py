"""The journal of a run: each change with before and after, on the disk before it is made.

One file for each run, a line for each step, in the form of the pointer log's
lines: a checksum on each, and each names the one before.

    {"run": ..., "plan": ..., "digest": ..., "database": ..., "at": ...}
    {"intent": 1, "changes": [{"deploy": ..., "route": ..., "before": {}, "after": {}}, ...]}
    {"outcome": 1, "applied": [...], "changed": [...], ...}
    {"end": {...}}

An intent without its outcome may have been carried out or not: whoever goes
on with the run looks. `undoing` and `undone` are the same for taking it back.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from blackstart.durable import make_folder
from blackstart.errors import ConflictError, NotFoundError, StorageError
from blackstart.recovery.apply.change import Outcome
from blackstart.store.ledger.disk import Disk, LocalDisk, OpenFile
from blackstart.store.ledger.line import START, Position, read_line, write_line

SUFFIX = ".jsonl"
SNAPSHOT = "snapshot"
"""A key of the first line of a run that is of no plan, but brings documents back: from where."""
Change = dict[str, Any]
"""One deploy of an intent: `deploy`, `route`, `before` and `after`, as in the plan."""


class Journal:
    """One run's file, open for its next line. Raises (all methods): StorageError."""

    def __init__(self, disk: Disk, name: str, file: OpenFile, last: Position) -> None:
        self.run = name.removesuffix(SUFFIX)
        self._disk = disk
        self._file = file
        self._last = last
        self._intents = 0

    @classmethod
    def create(cls, disk: Disk, run: str, header: Mapping[str, Any]) -> Journal:
        """Begin a run; its file and first line are durable when this returns."""
        name = run + SUFFIX
        with _storage_errors(name):
            journal = cls(disk, name, disk.create(name), START)
            journal._write({"run": run, **header}, sync=True)
            disk.sync()
        return journal

    @classmethod
    def resume(cls, disk: Disk, record: RunRecord) -> Journal:
        """Go on with a run where its record ends; what a crash tore is cut off."""
        name = record.run + SUFFIX
        with _storage_errors(name):
            file = disk.open(name)
            file.truncate(record.size)
            file.sync()
        journal = cls(disk, name, file, record.last)
        journal._intents = record.intents
        return journal

    def intend(self, changes: Sequence[Change], *, undo: bool = False) -> int:
        """Write down what is about to be done: durable when this returns."""
        self._intents += 1
        key = "undoing" if undo else "intent"
        with _storage_errors(self.run):
            self._write({key: self._intents, "changes": list(changes)}, sync=True)
        return self._intents

    def outcome(
        self,
        outcomes: Mapping[str, tuple[Outcome, str]],
        *,
        intent: int | None = None,
        undo: bool = False,
    ) -> None:
        """Write down how it went; one that is lost in a crash is found out again."""
        by_outcome: dict[str, Any] = {}
        for deploy_id, (outcome, _) in outcomes.items():
            by_outcome.setdefault(outcome.value, []).append(deploy_id)
        why = {deploy_id: why for deploy_id, (_, why) in outcomes.items() if why}
        with _storage_errors(self.run):
            self._write({"undone" if undo else "outcome": intent, **by_outcome, "why": why})

    def end(self, counts: Mapping[str, int], *, undo: bool = False) -> None:
        """The run, or its undoing, came to its end."""
        with _storage_errors(self.run):
            self._write({"undo_end" if undo else "end": dict(counts)}, sync=True)

    def close(self) -> None:
        self._file.close()

    def _write(self, fields: Mapping[str, Any], *, sync: bool = False) -> None:
        line, self._last = write_line(fields, self._last)
        self._file.write(line)
        if sync:
            self._file.sync()


class RunRecord:
    """What a run's file says: how far it got, what is in doubt, and whether it was taken back."""

    def __init__(self, disk: Disk, run: str) -> None:
        self.run = run
        self.header: dict[str, Any] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.undone: dict[str, Outcome] = {}
        self.in_doubt: set[str] = set()
        self.ended = False
        self.undo_began = False
        self.undo_ended = False
        self.intents = 0
        self.size = 0
        self.last = START
        with _storage_errors(run):
            self._data = disk.read(run + SUFFIX)
        for fields in self._lines():
            self._take(fields)

    @property
    def whole(self) -> bool:
        """Whether even its first line was written: without it nothing was done."""
        return bool(self.header)

    def must_be_of(self, database: str) -> None:
        """Raises: ConflictError for a run in another database."""
        was_in = self.header.get("database")
        if was_in != database:
            raise ConflictError(
                f"run {self.run} was in database {was_in!r}, not in {database!r}",
                hint="BLACKSTART_DATABASE says which one is meant",
            )

    def to_take_back(self, name: str) -> bool:
        """Whether a change was made or may have been, and was not taken back.

        What could not be taken back by an earlier undo is tried again.
        """
        made = self.outcomes.get(name) is Outcome.APPLIED or name in self.in_doubt
        return made and self.undone.get(name) not in (Outcome.APPLIED, Outcome.ALREADY)

    def changes(self) -> Iterator[Change]:
        """Every change that was intended, in order; one that was tried again comes again."""
        for fields in self._lines():
            if "intent" in fields:
                yield from fields["changes"]

    def _lines(self) -> Iterator[dict[str, Any]]:
        """All lines that can be believed. Raises: StorageError when one in the middle cannot."""
        at, last = 0, START
        while (end := self._data.find(b"\n", at)) >= 0:
            try:
                line = read_line(self._data[at:end])
                if line.after != last.sum or line.position.seq != last.seq + 1:
                    raise ValueError("it does not follow the line before")
            except ValueError as error:
                if self._data.find(b"\n", end + 1) >= 0:
                    raise StorageError(
                        f"the journal of run {self.run} is damaged in line {last.seq + 1}: {error}",
                        hint="a new plan, or the same restore, finds what is still to be done",
                    ) from error
                return  # Torn: it was the last one, and nothing was done because of it.
            at, last = end + 1, line.position
            self.size, self.last = at, last
            yield dict(line.fields)

    def _take(self, fields: dict[str, Any]) -> None:
        if "run" in fields:
            self.header = fields
        elif "intent" in fields:
            self.intents = fields["intent"]
            self.in_doubt |= {change["deploy"] for change in fields["changes"]}
        elif "outcome" in fields:
            self._take_outcomes(fields, self.outcomes)
        elif "undoing" in fields:
            self.intents = fields["undoing"]
            self.undo_began = True
        elif "undone" in fields:
            self.undo_began = True
            self._take_outcomes(fields, self.undone)
        self.ended = self.ended or "end" in fields
        self.undo_ended = self.undo_ended or "undo_end" in fields

    def _take_outcomes(self, fields: dict[str, Any], known: dict[str, Outcome]) -> None:
        for outcome in Outcome:
            for deploy_id in fields.get(outcome.value, []):
                known[deploy_id] = outcome
                self.in_doubt.discard(deploy_id)


class Runs:
    """The runs whose journals lie in one folder."""

    def __init__(self, folder: Path, disk: Disk | None = None) -> None:
        self.folder = folder
        self._disk = disk

    def begin(self, plan: str, header: Mapping[str, Any]) -> tuple[Journal, RunRecord | None]:
        """Go on with the plan's last run, if that was stopped, else begin the next one."""
        disk = self._opened()
        numbers = self._numbers(disk, plan)
        if numbers:
            record = RunRecord(disk, f"{plan}.{numbers[-1]}")
            if not record.whole:
                # The crash came before its first line was whole: nothing was done.
                disk.remove(record.run + SUFFIX)
                numbers.pop()
            elif not record.ended and not record.undo_began:
                return Journal.resume(disk, record), record
        number = numbers[-1] + 1 if numbers else 1
        return Journal.create(disk, f"{plan}.{number}", {"plan": plan, **header}), None

    @contextmanager
    def reopened(self, run: str) -> Iterator[tuple[Journal, RunRecord]]:
        """One run, held, to take it back. Raises: NotFoundError, and as `held`."""
        disk = self._opened()
        with _storage_errors(str(self.folder)):
            known = run + SUFFIX in disk.names()
        if not known:
            raise NotFoundError(f"no run {run!r} in {self.folder}", hint=_known(disk))
        with self.held(plan_of(run)):
            record = RunRecord(disk, run)
            if not record.whole:
                raise NotFoundError(
                    f"run {run} ended before it did anything: there is nothing to undo"
                )
            journal = Journal.resume(disk, record)
            try:
                yield journal, record
            finally:
                journal.close()

    @contextmanager
    def held(self, plan: str) -> Iterator[None]:
        """Nobody else applies or takes back this plan meanwhile.

        Raises: ConflictError; StorageError when there can be no lock.
        """
        with _storage_errors(str(self.folder)):
            make_folder(self.folder)
            flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
            descriptor = os.open(self.folder / f"{plan}.lock", flags, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ConflictError(
                    f"plan {plan} is being applied by another process", hint="let that one end"
                ) from error
            yield
        finally:
            os.close(descriptor)

    def _opened(self) -> Disk:
        if self._disk is None:
            with _storage_errors(str(self.folder)):
                make_folder(self.folder)
            self._disk = LocalDisk(self.folder)
        return self._disk

    @staticmethod
    def _numbers(disk: Disk, plan: str) -> list[int]:
        with _storage_errors(plan):
            names = disk.names()
        ends = [name.removeprefix(f"{plan}.").removesuffix(SUFFIX) for name in names]
        return sorted(
            int(end)
            for end, name in zip(ends, names, strict=True)
            if end.isdecimal() and name == f"{plan}.{end}{SUFFIX}"
        )


def plan_of(run: str) -> str:
    """The plan that a run is of."""
    return run.rpartition(".")[0]


def _known(disk: Disk) -> str:
    runs = [name.removesuffix(SUFFIX) for name in disk.names() if name.endswith(SUFFIX)]
    return f"there are {', '.join(runs[-5:])}" if runs else "there is none at all"


@contextmanager
def _storage_errors(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot write the journal {what}: {error.strerror or error}") from error
