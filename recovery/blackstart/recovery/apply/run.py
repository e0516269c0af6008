"""Applies a plan: in its order, in batches, each written down before it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any, TypeVar

from pymongo.errors import OperationFailure, PyMongoError

from blackstart.clock import Clock
from blackstart.errors import ConflictError, DatabaseError, UsageError
from blackstart.events import Events
from blackstart.recovery.apply.change import Outcome, Swap, Tally
from blackstart.recovery.apply.deeds import METADATA, Deeds
from blackstart.recovery.apply.finishing import finished
from blackstart.recovery.apply.journal import Change, Journal, RunRecord, Runs
from blackstart.recovery.apply.steps import SiteSteps, Verdict
from blackstart.recovery.exact import same
from blackstart.recovery.find import Progress, nobody_watches
from blackstart.recovery.plan import Entry, PlanFile
from blackstart.recovery.sources import Route

Verdicts = dict[str, Verdict]
Result = TypeVar("Result")
Begun = Callable[[str], None]
"""Is told what a run is called, before it changes anything: it may be killed."""


def unheard(run: str) -> None:
    """For those who are told at the end."""


@dataclass(frozen=True)
class Pace:
    """How fast: deploys in a batch, batches under way at a time, deploys a second (None: any)."""

    batch: int = 500
    at_once: int = 4
    per_second: float | None = None

    def __post_init__(self) -> None:
        rate = 1.0 if self.per_second is None else self.per_second
        if self.batch < 1 or self.at_once < 1 or rate <= 0:
            raise UsageError("a run needs batches, and a rate above nothing")

    @property
    def length(self) -> int:
        """Of a batch: no more than a second's worth."""
        return max(1, min(self.batch, int(self.per_second or self.batch)))


@dataclass(frozen=True)
class Report:
    """How a run, or its rehearsal (`run` is blank), went."""

    run: str
    tally: Tally
    resumed: bool = False


class Applier:
    """Applies plans to one database.

    It may be stopped at any moment and in any way; applied again, a plan's run
    goes on where it was. Whatever changed since the plan was made stays as it is.
    """

    def __init__(
        self,
        database: str,
        deeds: Deeds,
        steps: SiteSteps,
        runs: Runs,
        *,
        clock: Clock,
        events: Events,
    ) -> None:
        self._database = database
        self._deeds = deeds
        self._steps = steps
        self._runs = runs
        self._clock = clock
        self._events = events

    async def rehearse(self, plan: PlanFile, *, progress: Progress = nobody_watches) -> Report:
        """Compare everything and change nothing. Raises: as `apply`."""
        self._check(plan)
        work = _Work(self._deeds, self._steps, self._clock, self._events, None, None, progress)
        return Report("", await told(work.through(plan, Pace())))

    async def apply(
        self,
        plan: PlanFile,
        pace: Pace | None = None,
        *,
        progress: Progress = nobody_watches,
        begun: Begun = unheard,
    ) -> Report:
        """Carry the plan out; `progress` is told how many of its deploys are dealt with,

        `begun` the run's name before the first change.

        Raises: ConflictError for a plan of another database, or that somebody
        else applies; StorageError when the journal cannot be written;
        DatabaseError when the database fails. All that is done by then is in
        the journal, and the next call goes on.
        """
        self._check(plan)
        with self._runs.held(plan.header.id):
            header = {
                "digest": plan.digest,
                "database": self._database,
                "at": self._clock.now().isoformat(),
            }
            journal, record = self._runs.begin(plan.header.id, header)
            try:
                _check_digest(plan, record)
                begun(journal.run)
                work = _Work(
                    self._deeds, self._steps, self._clock, self._events, journal, record, progress
                )
                tally = await told(work.through(plan, pace or Pace()))
                journal.end({outcome.value: tally.counts[outcome] for outcome in Outcome})
            finally:
                journal.close()
            return Report(journal.run, tally, resumed=record is not None)

    def _check(self, plan: PlanFile) -> None:
        if plan.header.database != self._database:
            raise ConflictError(
                f"plan {plan.header.id} is of database {plan.header.database!r}, "
                f"not of {self._database!r}",
                hint="BLACKSTART_DATABASE says which one is meant",
            )


def _check_digest(plan: PlanFile, record: RunRecord | None) -> None:
    if record is not None and record.header.get("digest") != plan.digest:
        raise ConflictError(f"run {record.run} was begun with another plan of this id")


async def told(
    work: Awaitable[Result], *, hint: str = "apply the same plan again to go on"
) -> Result:
    """What comes of some work. Raises: DatabaseError when the database fails meanwhile."""
    try:
        return await work
    except PyMongoError as error:
        raise DatabaseError(
            f"stopped, since MongoDB failed: {reason_of(error)}", hint=hint
        ) from error


def reason_of(error: PyMongoError) -> str:
    """One line, long enough for what a guard says of a write that it holds."""
    details = error.details if isinstance(error, OperationFailure) else None
    text = str((details or {}).get("errmsg") or error)
    return (text.splitlines() or [type(error).__name__])[0][:300]


class _Work:
    """One pass over a plan; without a journal nothing is changed."""

    def __init__(
        self,
        deeds: Deeds,
        steps: SiteSteps,
        clock: Clock,
        events: Events,
        journal: Journal | None,
        record: RunRecord | None,
        progress: Progress,
    ) -> None:
        self.tally = Tally()
        self._deeds = deeds
        self._steps = steps
        self._clock = clock
        self._events = events
        self._journal = journal
        self._known: Mapping[str, Outcome] = record.outcomes if record else {}
        self._in_doubt: set[str] = record.in_doubt if record else set()
        self._progress = progress

    async def through(self, plan: PlanFile, pace: Pace) -> Tally:
        """All entries in order. A tier's deploys are all done before its sites, and those

        before the next tier.
        """
        begun, sent = self._clock.time(), 0
        for restores, entries in groupby(plan.entries(), key=_tier):
            under_way: set[asyncio.Task[None]] = set()
            try:
                for batch in _batches(self._open(entries), pace.length if restores[1] else 1):
                    await self._pause(begun, sent, pace)
                    sent += len(batch)
                    await self._launch(batch, under_way, pace.at_once if restores[1] else 1)
                await _all(under_way)
            finally:
                await finished(under_way)
        return self.tally

    def _open(self, entries: Iterator[Entry]) -> Iterator[Entry]:
        """Those that are still to be dealt with."""
        for entry in entries:
            known = self._known.get(entry.deploy_id)
            if entry.route is Route.NONE:
                known = Outcome.NO_ROUTE
            if known is None:
                yield entry
            else:
                self._count({entry.deploy_id: (known, "")})

    async def _pause(self, begun: float, sent: int, pace: Pace) -> None:
        if pace.per_second is not None:
            due = begun + sent / pace.per_second
            if due > self._clock.time():
                await self._clock.sleep(due - self._clock.time())

    async def _launch(
        self, batch: list[Entry], under_way: set[asyncio.Task[None]], at_once: int
    ) -> None:
        if at_once == 1:
            await self._deal_with(batch)
            return
        under_way.add(asyncio.create_task(self._deal_with(batch)))
        if len(under_way) == at_once:
            done, _ = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            under_way -= done
            failures = [failure for task in done if (failure := task.exception())]
            if failures:
                raise failures[0]

    async def _deal_with(self, batch: list[Entry]) -> None:
        if batch[0].route.restores:
            await self._restore(batch)
        else:
            await self._step(batch[0])

    async def _step(self, entry: Entry) -> None:
        intent: list[int] = []

        def intend() -> None:
            assert self._journal is not None
            intent.append(self._journal.intend([_change(entry)]))

        in_doubt = entry.deploy_id in self._in_doubt
        do = intend if self._journal else None
        verdict = await self._steps.take(entry, do, in_doubt=in_doubt)
        self._conclude({entry.deploy_id: verdict}, intent[0] if intent else None)

    async def _restore(self, batch: list[Entry]) -> None:
        """Look, write down, compare-and-set, and look again only where that did not match."""
        there = await self._deeds.read([entry.deploy_id for entry in batch])
        verdicts: Verdicts = {}
        ready: list[Entry] = []
        for entry in batch:
            verdict = self._judge(entry, there.get(entry.deploy_id))
            if verdict is None:
                ready.append(entry)
            else:
                verdicts[entry.deploy_id] = verdict
        intent = None
        if ready and self._journal is None:
            verdicts |= {entry.deploy_id: (Outcome.APPLIED, "") for entry in ready}
        elif ready and self._journal:
            intent = self._journal.intend([_change(entry) for entry in ready])
            verdicts |= await self._swap(ready)
        self._conclude(verdicts, intent)
        if self._journal:
            for entry in ready:
                if verdicts[entry.deploy_id][0] is Outcome.APPLIED:
                    self._restored(entry)

    def _judge(self, entry: Entry, there: dict[str, Any] | None) -> Verdict | None:
        """What is to be said of a deploy as it is now; None when it is as the plan saw it."""
        if there is None:
            return Outcome.GONE, "there is no such deploy any more"
        if METADATA in there and same({METADATA: there[METADATA]}, entry.after):
            ours = entry.deploy_id in self._in_doubt
            return (Outcome.APPLIED if ours else Outcome.ALREADY), ""
        if same(_ordered(there), _ordered(entry.before)):
            return None
        return Outcome.CHANGED, "it is neither as the plan saw it nor as planned"

    async def _swap(self, entries: Sequence[Entry]) -> Verdicts:
        swaps = [Swap(entry.deploy_id, entry.before, entry.after) for entry in entries]
        matched, refused = await self._deeds.swap(swaps)
        verdicts: Verdicts = {entry.deploy_id: (Outcome.APPLIED, "") for entry in entries}
        verdicts |= {key: (Outcome.FAILED, why) for key, why in refused.items()}
        if matched + len(refused) < len(entries):
            verdicts |= await self._lost_races([e for e in entries if e.deploy_id not in refused])
        return verdicts

    async def _lost_races(self, entries: Sequence[Entry]) -> Verdicts:
        """Somebody else was there between the look and the write: those are not ours."""
        there = await self._deeds.read([entry.deploy_id for entry in entries])
        lost: Verdicts = {}
        for entry in entries:
            now = there.get(entry.deploy_id)
            if now is None:
                lost[entry.deploy_id] = (Outcome.GONE, "there is no such deploy any more")
            elif METADATA not in now or not same({METADATA: now[METADATA]}, entry.after):
                lost[entry.deploy_id] = (Outcome.CHANGED, "it changed at this very moment")
        return lost

    def _restored(self, entry: Entry) -> None:
        self._events(
            "deploy.restored", entry.deploy_id, site=entry.site_id, route=entry.route.value
        )

    def _conclude(self, verdicts: Verdicts, intent: int | None) -> None:
        if self._journal:
            self._journal.outcome(verdicts, intent=intent)
        self._count(verdicts)

    def _count(self, verdicts: Verdicts) -> None:
        for deploy_id, (outcome, why) in verdicts.items():
            self.tally.add(deploy_id, outcome, why)
        self._progress(self.tally.total)


def _tier(entry: Entry) -> tuple[Any, ...]:
    """What is done before anything after it begins: a plan's deploys, then its sites."""
    rank, is_step, *_ = entry.order
    return rank, not is_step


def _change(entry: Entry) -> Change:
    value = entry.to_json()
    return {name: value[name] for name in ("deploy", "site_id", "route", "before", "after")}


def _ordered(document: Mapping[str, Any]) -> dict[str, Any]:
    """State and metadata, whichever are there, in one order."""
    return {name: document[name] for name in ("state", METADATA) if name in document}


def _batches(entries: Iterator[Entry], length: int) -> Iterator[list[Entry]]:
    while batch := list(islice(entries, length)):
        yield batch


async def _all(under_way: set[asyncio.Task[None]]) -> None:
    for task in list(under_way):
        await task
        under_way.discard(task)
