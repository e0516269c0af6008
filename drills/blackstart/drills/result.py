"""A drill's result as one JSON object, and as files that appear whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from blackstart.drills.accounting import (
    OwnSite,
    affected_sites,
    availability,
    downtime_by_plan,
    outcomes,
    own_sites,
)
from blackstart.drills.checks import Check, Status
from blackstart.drills.drill import Order, Verdict
from blackstart.drills.evidence import Evidence
from blackstart.drills.timeline import Moment, timeline
from blackstart.errors import StorageError

JOURNAL_FILE = "journal.jsonl"
RESULT_FILE = "result.json"


@dataclass(frozen=True)
class Fleet:
    """How large the drill was."""

    sites: int
    deploys: int
    affected_deploys: int
    affected_sites: int


@dataclass(frozen=True)
class Result:
    """What a drill ended with. `wall_s` and `peak_rss_mb` are of this run, all else of the seed.

    `fault` tells whether it took effect, was prevented, or did nothing for no good reason.
    `availability` is the answered share of visits by plan, 0 to 1;
    `downtime_min` the median and maximum minutes of damaged sites by plan;
    `peak_rss_mb` the resident memory of all processes of the drill together.
    """

    incident: str
    seed: int
    safeguards: list[str]
    fault: str
    fleet: Fleet
    checks: list[Check]
    outcomes: dict[str, int]
    availability: dict[str, float]
    downtime_min: dict[str, dict[str, float]]
    repositories: list[OwnSite]
    timeline: list[Moment]
    journal_sha256: str
    simulated_s: float
    wall_s: float
    peak_rss_mb: float

    @property
    def passed(self) -> bool:
        """Whether every check passed; an unknown one did not."""
        return all(check.status is Status.PASSED for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """As printed by `--json` and kept by `--out`."""
        return asdict(self)


def make_result(order: Order, verdict: Verdict, *, wall_s: float, peak_rss_mb: float) -> Result:
    """Draw the result from the evidence."""
    evidence = verdict.evidence
    return Result(
        incident=order.incident.name,
        seed=order.seed,
        safeguards=list(order.safeguards),
        fault=_fault(evidence),
        fleet=Fleet(
            sites=len(evidence.oracle.before.sites),
            deploys=len(evidence.oracle.before.deploys),
            affected_deploys=len(evidence.hit),
            affected_sites=len(affected_sites(evidence)),
        ),
        checks=verdict.checks,
        outcomes=outcomes(evidence),
        availability=availability(evidence),
        downtime_min=downtime_by_plan(evidence),
        repositories=own_sites(evidence, verdict.own_sites) if evidence.lived else [],
        timeline=timeline(evidence.journal),
        journal_sha256=evidence.journal.sha256(),
        simulated_s=verdict.simulated_s,
        wall_s=round(wall_s, 2),
        peak_rss_mb=round(peak_rss_mb, 1),
    )


def _fault(evidence: Evidence) -> str:
    if evidence.prevented:
        return "prevented"
    return "took effect" if evidence.hit else "no effect"


def prepare_out(folder: Path) -> None:
    """Make the folder results go to, and find out now whether it can be written.

    Raises: StorageError.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".blackstart-probe"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise StorageError(f"cannot write to --out {folder}: {error.strerror}") from error


def write_out(folder: Path, result: Result, journal: Iterable[str]) -> None:
    """Keep journal and result: both are written whole, or what was there before stays.

    Raises: StorageError, with nothing half-written left behind.
    """
    journal_aside, result_aside = _aside(folder / JOURNAL_FILE), _aside(folder / RESULT_FILE)
    try:
        try:
            _write(journal_aside, (f"{line}\n" for line in journal))
            _write(result_aside, [json.dumps(result.to_json(), indent=2), "\n"])
            journal_aside.replace(folder / JOURNAL_FILE)
            result_aside.replace(folder / RESULT_FILE)
            _sync_folder(folder)
        finally:
            journal_aside.unlink(missing_ok=True)
            result_aside.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"cannot write to --out {folder}: {error.strerror}") from error


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}")


def _write(path: Path, parts: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(parts)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
