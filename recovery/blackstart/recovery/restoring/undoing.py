"""Takes a restore back: everything it changed and nobody has changed since."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby, islice

from blackstart.errors import ConflictError
from blackstart.recovery.apply.change import Outcome
from blackstart.recovery.apply.finishing import to_its_end
from blackstart.recovery.apply.journal import (
    SNAPSHOT,
    Change,
    Journal,
    RunRecord,
    Runs,
)
from blackstart.recovery.apply.run import told
from blackstart.recovery.diff.sides import Progress
from blackstart.recovery.exact import kept_bytes
from blackstart.recovery.restoring.report import Report
from blackstart.recovery.restoring.run import BATCH, change_of
from blackstart.recovery.restoring.swaps import Swap, Verdict, carry_out, read
from blackstart.recovery.snapshots.source import Database


class RestoreUndoer:
    """It may be stopped at any moment, and called again."""

    def __init__(self, database: Database, runs: Runs) -> None:
        self._database = database
        self._runs = runs

    async def undo(self, run: str, progress: Progress, *, dry: bool) -> Report:
        """Put back what stood there before each change of a run; `dry` only compares.

        Raises: NotFoundError; ConflictError for a run of another kind or database, or while it
        goes on; StorageError; DatabaseError.
        """
        with self._runs.reopened(run) as (journal, record):
            self._check(record)
            work = self._through(None if dry else journal, record, progress)
            report = await told(work, hint="undo the same run again to go on")
            if not dry:
                counts = {each.value: report.tally.counts[each] for each in Outcome}
                journal.end(counts, undo=True)
        report.run = run
        return report

    def _check(self, record: RunRecord) -> None:
        if SNAPSHOT not in record.header:
            raise ConflictError(
                f"run {record.run} brought nothing back from a snapshot by itself",
                hint=f"take it back with `blackstart recover undo {record.run}`",
            )
        record.must_be_of(self._database.name)

    async def _through(
        self, journal: Journal | None, record: RunRecord, progress: Progress
    ) -> Report:
        report = Report()
        for collection, changes in groupby(_to_take_back(record), lambda each: each["collection"]):
            while batch := [_backwards(each) for each in islice(changes, BATCH)]:
                verdicts = await to_its_end(self._take_back(collection, batch, journal))
                report.add(batch, verdicts)
                progress(len(batch))
        return report

    async def _take_back(
        self, collection: str, batch: list[Swap], journal: Journal | None
    ) -> dict[str, Verdict]:
        there = await read(self._database[collection], [swap.id for swap in batch])
        verdicts: dict[str, Verdict] = {}
        ready: list[Swap] = []
        for swap in batch:
            verdict = swap.judge(there.get(swap.key))
            if verdict is None:
                ready.append(swap)
            else:
                verdicts[swap.name] = verdict
        if journal is None or not ready:
            verdicts |= {swap.name: (Outcome.APPLIED, "") for swap in ready}
        else:
            journal.intend([change_of(swap) for swap in ready], undo=True)
            verdicts |= await carry_out(self._database[collection], ready)
        if journal is not None:
            journal.outcome(verdicts, undo=True)
        return verdicts


def _to_take_back(record: RunRecord) -> Iterator[Change]:
    """Each change that was made or may have been."""
    for change in record.changes():
        if record.to_take_back(change["deploy"]):
            yield change


def _backwards(change: Change) -> Swap:
    before, after = change["before"], change["after"]
    return Swap(
        change["collection"],
        None if after is None else kept_bytes(after),
        None if before is None else kept_bytes(before),
    )
