"""Takes a run back: everything it changed and nobody has changed since."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from blackstart.clock import Clock
from blackstart.control.builds import BuildService
from blackstart.control.publish import Publisher
from blackstart.errors import BlackstartError, ConflictError
from blackstart.model import BuildState
from blackstart.recovery.apply.change import Outcome, Swap, Tally
from blackstart.recovery.apply.deeds import METADATA, Deeds
from blackstart.recovery.apply.finishing import to_its_end
from blackstart.recovery.apply.journal import SNAPSHOT, Change, Journal, RunRecord, Runs
from blackstart.recovery.apply.run import Report, told
from blackstart.recovery.exact import from_json, same
from blackstart.recovery.find import Progress, nobody_watches
from blackstart.recovery.sources import Route
from blackstart.store import MetadataStore

BATCH = 500
Verdicts = dict[str, tuple[Outcome, str]]


class Undoer:
    """Takes runs back, those of sites first; it may be stopped at any moment, and called again."""

    def __init__(
        self,
        store: MetadataStore,
        deeds: Deeds,
        publisher: Publisher,
        builds: BuildService,
        runs: Runs,
        *,
        clock: Clock,
    ) -> None:
        self._store = store
        self._deeds = deeds
        self._publisher = publisher
        self._builds = builds
        self._runs = runs
        self._clock = clock

    async def undo(
        self, run: str, *, dry: bool = False, progress: Progress = nobody_watches
    ) -> Report:
        """Put back what stood there before each change of a run; `dry` only compares.

        Raises: NotFoundError; ConflictError for a run of another database, or
        while its plan is being applied; StorageError; DatabaseError.
        """
        with self._runs.reopened(run) as (journal, record):
            self._check(record)
            work = self._through(None if dry else journal, record, progress)
            tally = await told(work, hint="undo the same run again to go on")
            if not dry:
                counts = {outcome.value: tally.counts[outcome] for outcome in Outcome}
                journal.end(counts, undo=True)
            return Report(run, tally, resumed=record.undo_began)

    def _check(self, record: RunRecord) -> None:
        if SNAPSHOT in record.header:
            raise ConflictError(
                f"run {record.run} brought documents back from a snapshot",
                hint=f"take it back with `blackstart snapshot undo {record.run}`",
            )
        record.must_be_of(self._store.database.name)

    async def _through(
        self, journal: Journal | None, record: RunRecord, progress: Progress
    ) -> Tally:
        tally = Tally()
        for restores in (False, True):
            changes = _to_take_back(record, restores=restores)
            while batch := list(islice(changes, BATCH if restores else 1)):
                verdicts = await to_its_end(self._written_down(batch, journal, restores=restores))
                for deploy_id, (outcome, why) in verdicts.items():
                    tally.add(deploy_id, outcome, why)
                progress(tally.total)
        return tally

    async def _written_down(
        self, batch: list[Change], journal: Journal | None, *, restores: bool
    ) -> Verdicts:
        verdicts = await (
            self._restored(batch, journal) if restores else self._site(batch[0], journal)
        )
        if journal:
            journal.outcome(verdicts, undo=True)
        return verdicts

    async def _restored(self, batch: list[Change], journal: Journal | None) -> Verdicts:
        there = await self._deeds.read([change["deploy"] for change in batch])
        verdicts: Verdicts = {}
        ready: list[tuple[Change, Swap]] = []
        for change in batch:
            swap = _backwards(change)
            verdict = _judge(swap, there.get(swap.deploy_id))
            if verdict is None:
                ready.append((change, swap))
            else:
                verdicts[swap.deploy_id] = verdict
        if ready and journal:
            journal.intend([change for change, _ in ready], undo=True)
            verdicts |= await self._swap([swap for _, swap in ready])
        else:
            verdicts |= {swap.deploy_id: (Outcome.APPLIED, "") for _, swap in ready}
        return verdicts

    async def _swap(self, swaps: list[Swap]) -> Verdicts:
        verdicts: Verdicts = {swap.deploy_id: (Outcome.APPLIED, "") for swap in swaps}
        matched, refused = await self._deeds.swap(swaps)
        verdicts |= {key: (Outcome.FAILED, why) for key, why in refused.items()}
        if matched + len(refused) < len(swaps):
            there = await self._deeds.read([swap.deploy_id for swap in swaps])
            for swap in swaps:
                late = _judge(swap, there.get(swap.deploy_id)) or (Outcome.CHANGED, "it changed")
                if late[0] is not Outcome.ALREADY and swap.deploy_id not in refused:
                    verdicts[swap.deploy_id] = late
        return verdicts

    async def _site(self, change: Change, journal: Journal | None) -> Verdicts:
        if journal:
            journal.intend([change], undo=True)
        try:
            if change["route"] == Route.REVERT:
                verdict = await self._show_again(change, dry=journal is None)
            else:
                verdict = await self._call_off(change, dry=journal is None)
        except ConflictError as error:
            verdict = (Outcome.CHANGED, error.message)
        except BlackstartError as error:
            verdict = (Outcome.FAILED, error.message)
        return {change["deploy"]: verdict}

    async def _show_again(self, change: Change, *, dry: bool) -> tuple[Outcome, str]:
        before = change["before"]["published_deploy_id"]
        after = change["after"]["published_deploy_id"]
        shown = (await self._store.sites.get(change["site_id"])).published_deploy_id
        if shown == before:
            return Outcome.ALREADY, ""
        if not dry or shown != after:
            await self._publisher.take_back(change["site_id"], before, instead_of=after)
        return Outcome.APPLIED, ""

    async def _call_off(self, change: Change, *, dry: bool) -> tuple[Outcome, str]:
        """A build that has ended is not taken back: nothing is ever unpublished."""
        build_id = change["after"]["build"]
        build = await self._store.builds.find(build_id)
        if build is None or build.state is BuildState.CANCELLED:
            return Outcome.ALREADY, ""
        if build.state.ended:
            return Outcome.CHANGED, f"build {build_id} has ended: it is {build.state}"
        if not dry:
            await self._builds.cancel(build)
        return Outcome.APPLIED, ""


def _to_take_back(record: RunRecord, *, restores: bool) -> Iterator[Change]:
    """Each change that was made or may have been, once."""
    seen: set[str] = set()
    for change in record.changes():
        deploy_id = change["deploy"]
        if Route(change["route"]).restores is not restores or deploy_id in seen:
            continue
        seen.add(deploy_id)
        if record.to_take_back(deploy_id):
            yield change


def _backwards(change: Change) -> Swap:
    before, after = from_json(change["before"]), from_json(change["after"])
    put = {METADATA: before[METADATA]} if METADATA in before else {}
    return Swap(change["deploy"], {METADATA: after[METADATA]}, put)


def _judge(swap: Swap, there: dict[str, Any] | None) -> tuple[Outcome, str] | None:
    """What is to be said of a deploy as it is now; None when it is as the run left it."""
    if there is None:
        return Outcome.GONE, "there is no such deploy any more"
    now = {METADATA: there[METADATA]} if METADATA in there else {}
    if same(now, swap.expect):
        return None
    if same(now, swap.put):
        return Outcome.ALREADY, ""
    return Outcome.CHANGED, "it is not as the run left it"
