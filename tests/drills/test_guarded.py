"""February 2 behind the guard: the migration is stopped, saved first, or on record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from tests.drills.conftest import RunDrill, not_passed

from blackstart.drills.accounting import Fate, fates
from blackstart.drills.checks import PREVENTED, RULES, Status
from blackstart.drills.evidence import Evidence
from blackstart.drills.faults.overwrite_metadata import OverwriteMetadata, victim_count
from blackstart.drills.incidents.feb2 import FEB2
from blackstart.drills.journal import Entry
from blackstart.drills.reviewer import Word
from blackstart.drills.world.shell import Done, GuardedShell
from blackstart.guard.gate import GuardGate
from blackstart.guard.proxy.asked import Asked
from blackstart.wire import CommandError

FAILED = {"fault-took-effect": Status.FAILED}


def only(evidence: Evidence, action: str) -> Entry:
    (entry,) = evidence.journal.of(action)
    return entry


async def test_the_second_engineer_who_reads_the_preview_stops_the_migration(
    run_small_drill: RunDrill,
) -> None:
    verdict = await run_small_drill(safeguards="all")
    evidence = verdict.evidence
    assert not_passed(verdict.checks) == {}
    assert [check.id for check in verdict.checks] == [rule.id for rule in PREVENTED]
    assert (evidence.prevented, evidence.hit) == (True, frozenset())
    held = only(evidence, "write.held").details
    deploys = len(evidence.oracle.before.deploys)
    assert held["matched"] == victim_count(deploys)
    assert held["replaced"] == {"metadata": held["matched"]}
    assert held["dropped"]["metadata.tree"] == held["matched"]
    said = only(evidence, "request.said")
    assert (said.actor, said.details["word"]) == ("second-engineer", "rejected")
    assert "metadata.tree" in said.details["reason"]
    assert not evidence.journal.of("write.sent", "alert.fired", "runbook", "responders.found")


async def test_with_a_snapshot_from_seconds_before_and_a_record_nothing_is_lost_or_guessed(
    run_small_drill: RunDrill,
) -> None:
    verdict = await run_small_drill(safeguards="pre-write-snapshot,audit-trail,snapshot-mount")
    evidence = verdict.evidence
    assert not_passed(verdict.checks) == {}
    backup_s = evidence.newest_backup_s
    assert backup_s is not None and -10.0 < backup_s < 0.0
    opened = only(evidence, "snapshot.opened").details
    assert opened["found"] == opened["damaged"] == len(evidence.hit)
    assert set(fates(evidence).values()) == {Fate.RESTORED}
    saved = only(evidence, "write.sent").details["snapshot"]
    assert only(evidence, "snapshot.opened").subject == saved
    cause = only(evidence, "cause.found")
    assert cause.offset_s <= 60.0 and cause.details["login"] == "engineer"
    assert frozenset(cause.details["holding"]) == evidence.hit


@pytest.mark.slow
async def test_without_a_snapshot_what_is_newer_than_the_backup_is_lost(
    run_small_drill: RunDrill,
) -> None:
    verdict = await run_small_drill(safeguards="audit-trail,snapshot-mount")
    opened = only(verdict.evidence, "snapshot.opened").details
    assert opened["found"] < opened["damaged"]


# --- Broken on purpose: exactly the right check fails ---


@pytest.mark.slow
async def test_a_second_engineer_who_does_not_read_is_noticed(run_small_drill: RunDrill) -> None:
    careless = replace(FEB2, review=lambda preview: Word(True, "looks good to me"))
    verdict = await run_small_drill(careless, safeguards="peer-signoff")
    assert "fault-took-effect" in not_passed(verdict.checks)
    assert verdict.evidence.hit and verdict.evidence.fault_s >= 60.0
    (fault,) = [check for check in verdict.checks if check.id == "fault-took-effect"]
    assert "approved by second-engineer" in fault.observed


@pytest.mark.slow
async def test_a_guard_that_lets_the_write_pass_is_noticed(
    run_small_drill: RunDrill, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def open_door(gate: GuardGate, asked: Asked) -> None:
        return None

    monkeypatch.setattr(GuardGate, "admit", open_door)
    verdict = await run_small_drill(safeguards="peer-signoff")
    assert not_passed(verdict.checks) == FAILED
    assert verdict.evidence.hit


@pytest.mark.slow
async def test_a_guard_that_says_no_and_lets_it_run_is_noticed(
    run_small_drill: RunDrill, monkeypatch: pytest.MonkeyPatch
) -> None:
    update_many = GuardedShell.update_many

    async def behind_our_back(
        shell: GuardedShell, collection: str, found: Mapping[str, Any], change: Mapping[str, Any]
    ) -> Done:
        try:
            return await update_many(shell, collection, found, change)
        except CommandError:
            await shell._store.database[collection].update_many(found, change)
            raise

    monkeypatch.setattr(GuardedShell, "update_many", behind_our_back)
    verdict = await run_small_drill(safeguards="peer-signoff")
    failed = not_passed(verdict.checks)
    assert {"outcome-02", "outcome-04", "outcome-12"} <= failed.keys()


async def test_a_fault_that_does_nothing_is_not_one_that_was_stopped(
    run_small_drill: RunDrill,
) -> None:
    harmless = replace(FEB2, fault=OverwriteMetadata(share=0.0))
    verdict = await run_small_drill(harmless, safeguards="peer-signoff")
    assert only(verdict.evidence, "request.said").details["word"] == "approved"
    unknown = {rule.id: Status.UNKNOWN for rule in RULES}
    assert not_passed(verdict.checks) == {**unknown, **FAILED}
