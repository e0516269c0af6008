"""Brings documents back from a snapshot: looks, writes down, compares and sets.

Nothing is gone on with: what an earlier run brought back is found as it should
be, so that the same restore after a crash does what is left, and a second one
does nothing.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing
from typing import Any

import bson

from blackstart.clock import Clock
from blackstart.errors import ConflictError
from blackstart.recovery.apply.change import Outcome
from blackstart.recovery.apply.finishing import to_its_end
from blackstart.recovery.apply.journal import SNAPSHOT, Journal, Runs
from blackstart.recovery.apply.run import Begun, told, unheard
from blackstart.recovery.diff import same_fields
from blackstart.recovery.diff.sides import Progress
from blackstart.recovery.exact import kept_as_json
from blackstart.recovery.restoring.order import Order
from blackstart.recovery.restoring.report import Report
from blackstart.recovery.restoring.swaps import Swap, Verdict, carry_out, read
from blackstart.recovery.restoring.target import target
from blackstart.recovery.snapshots import PatientReader
from blackstart.recovery.snapshots.documents import id_of, key_of, split
from blackstart.recovery.snapshots.source import Database, collections_of
from blackstart.seed import Seed
from blackstart.wire.documents import PLAIN

BATCH = 500
BATCH_BYTES = 8 * 1024 * 1024
HINT = "the same command again does what is left"


class Restorer:
    """Brings back what an order asks for.

    Raises, when it is made: ConflictError for a snapshot of another database.
    """

    def __init__(
        self,
        reader: PatientReader,
        database: Database,
        order: Order,
        runs: Runs,
        *,
        clock: Clock,
        seed: Seed,
    ) -> None:
        if reader.snapshot.database != database.name:
            raise ConflictError(
                f"snapshot {reader.snapshot.id} is of database {reader.snapshot.database}, "
                f"not of {database.name}",
                hint="BLACKSTART_DATABASE says which one is meant",
            )
        self._reader = reader
        self._database = database
        self._order = order
        self._runs = runs
        self._clock = clock
        self._seed = seed

    @property
    def collections(self) -> list[str]:
        """Those of the snapshot that are read."""
        return list(dict.fromkeys(self._order.collections)) or self._reader.collections()

    async def look(self, progress: Progress) -> Report:
        """Compare and change nothing. Raises: as `apply`."""
        work = _Work(self._reader, self._database, self._order, None, progress)
        return await told(work.through(self.collections))

    async def apply(self, progress: Progress, *, begun: Begun = unheard) -> Report:
        """Do it; every change is in a journal before it is made.

        `begun` is told the run's name before the first change.

        Raises: UsageError for a collection that the snapshot lacks; StorageError for a store or a
        journal that fails; DatabaseError, and then the next call does what is left.
        """
        header = {
            SNAPSHOT: self._reader.snapshot.id,
            "database": self._database.name,
            "at": self._clock.now().isoformat(),
        }
        plan = f"restore-{self._seed.new_id()}"
        with _LazyJournal(self._runs, plan, header, begun) as journal:
            work = _Work(self._reader, self._database, self._order, journal, progress)
            report = await told(work.through(self.collections), hint=HINT)
            journal.end(report)
            return report


class _LazyJournal:
    """A run that begins with its first change: one that finds nothing to do leaves nothing."""

    def __init__(self, runs: Runs, plan: str, header: dict[str, Any], begun: Begun) -> None:
        self._begun = begun
        self._runs = runs
        self._plan = plan
        self._header = header
        self._stack = ExitStack()
        self._journal: Journal | None = None

    def __enter__(self) -> _LazyJournal:
        return self

    def __exit__(self, *raised: object) -> None:
        self._stack.close()

    def intend(self, swaps: list[Swap]) -> int:
        """Durable when this returns. Raises: StorageError."""
        return self._opened().intend([change_of(swap) for swap in swaps])

    def outcome(self, verdicts: dict[str, Verdict], intent: int) -> None:
        self._opened().outcome(verdicts, intent=intent)

    def end(self, report: Report) -> None:
        if self._journal is not None:
            report.run = self._journal.run
            self._journal.end({each.value: report.tally.counts[each] for each in Outcome})

    def _opened(self) -> Journal:
        if self._journal is None:
            self._stack.enter_context(self._runs.held(self._plan))
            self._journal, _ = self._runs.begin(self._plan, self._header)
            self._stack.callback(self._journal.close)
            self._begun(self._journal.run)
        return self._journal


def change_of(swap: Swap) -> dict[str, Any]:
    """A swap as a journal has it, whose word for a document's name is `deploy`."""
    return {
        "deploy": swap.name,
        "collection": swap.collection,
        "before": None if swap.expect is None else kept_as_json(swap.expect),
        "after": None if swap.put is None else kept_as_json(swap.put),
    }


class _Work:
    """One pass; without a journal nothing is changed."""

    def __init__(
        self,
        reader: PatientReader,
        database: Database,
        order: Order,
        journal: _LazyJournal | None,
        progress: Progress,
    ) -> None:
        self._reader = reader
        self._database = database
        self._order = order
        self._journal = journal
        self._progress = progress
        self._report = Report()

    async def through(self, collections: list[str]) -> Report:
        there = await collections_of(self._database)
        for name in collections:
            goal = self._order.into or name
            batches = self._kept(name)
            async with aclosing(batches) as found:
                async for batch in found:
                    await self._bring_back(goal, batch, is_there=goal in there)
                    self._progress(len(batch))
            if self._order.delete_others and goal in there:
                await self._remove_others(name, goal)
        self._report.gaps = self._reader.gaps
        return self._report

    async def _kept(self, name: str) -> AsyncGenerator[list[bytes], None]:
        """The snapshot's documents that are wanted, some at a time."""
        batch: list[bytes] = []
        size = 0
        async with aclosing(self._order.wanted.among(self._reader, name)) as found:
            async for raw in found:
                batch.append(raw)
                size += len(raw)
                if len(batch) == BATCH or size > BATCH_BYTES:
                    yield batch
                    batch, size = [], 0
        if batch:
            yield batch

    async def _bring_back(self, goal: str, batch: list[bytes], *, is_there: bool) -> None:
        now = await read(self._database[goal], [id_of(raw) for raw in batch]) if is_there else {}
        verdicts: dict[str, Verdict] = {}
        swaps, ready = [], []
        for raw in batch:
            swap, verdict = self._swap(goal, now.get(key_of(raw)), raw)
            swaps.append(swap)
            if verdict is None:
                ready.append(swap)
            else:
                verdicts[swap.name] = verdict
        if ready and not is_there:
            await self._make(goal)
        self._report.add(swaps, verdicts | await self._carry_out(goal, ready))

    def _swap(self, goal: str, now: bytes | None, kept: bytes) -> tuple[Swap, Verdict | None]:
        """What is to be done about one document, and what is said of it when that is nothing."""
        if now is None:
            gone = (Outcome.GONE, "it is no longer there: restore it without --fields")
            return Swap(goal, None, kept), gone if self._order.fields else None
        try:
            put = target(now, kept, self._order.fields)
        except ValueError as error:
            return Swap(goal, now, kept), (Outcome.FAILED, str(error))
        swap = Swap(goal, now, put)
        return swap, (Outcome.ALREADY, "") if same_fields(now, put) else None

    async def _carry_out(self, goal: str, ready: list[Swap]) -> dict[str, Verdict]:
        if not ready or self._journal is None:
            return {swap.name: (Outcome.APPLIED, "") for swap in ready}
        return await to_its_end(self._written_down(self._journal, goal, ready))

    async def _written_down(
        self, journal: _LazyJournal, goal: str, ready: list[Swap]
    ) -> dict[str, Verdict]:
        intent = journal.intend(ready)
        verdicts = await carry_out(self._database[goal], ready)
        journal.outcome(verdicts, intent)
        return verdicts

    async def _make(self, goal: str) -> None:
        """A collection that was dropped comes back with its rules and its indexes."""
        if goal in self._report.made:
            return
        self._report.made.append(goal)
        if self._journal is None or self._order.into is not None:
            return
        await self._database.create_collection(goal, **self._reader.options(goal))
        indexes = [
            {key: value for key, value in each.items() if key not in ("v", "ns")}
            for each in self._reader.indexes(goal)
            if each["name"] != "_id_"
        ]
        if indexes:
            await self._database.command({"createIndexes": goal, "indexes": indexes})

    async def _remove_others(self, name: str, goal: str) -> None:
        """What the filter matches now and the snapshot does not hold.

        The database and we must agree that it matches. Each is compared as it is removed.
        """
        batch: list[Swap] = []
        where = self._order.wanted.where
        async with self._database[goal].find_raw_batches(where, batch_size=BATCH) as batches:
            async for found in batches:
                raw: Any = found
                for document in split(raw):
                    if await self._is_other(name, document):
                        batch.append(Swap(goal, document, None))
                self._report.add(batch, await self._carry_out(goal, batch))
                batch = []

    async def _is_other(self, name: str, document: bytes) -> bool:
        decoded = bson.decode(document, codec_options=PLAIN)
        if not self._order.wanted.matches(decoded):
            return False
        if await self._reader.get(name, decoded["_id"]) is not None:
            return False
        if self._reader.gap_at(name, key_of(document)) is None:
            return True
        self._report.spared += 1
        return False
