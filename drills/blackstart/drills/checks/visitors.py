"""Outcomes 2, 3 and 4: alerts, and what visitors of damaged and of healthy sites got."""

from __future__ import annotations

from blackstart.drills.checks.check import Finding, Rule, some
from blackstart.drills.evidence import Evidence
from blackstart.drills.journal import Entry

ALERT_WITHIN_S = 60.0


def _alerts(evidence: Evidence) -> Finding:
    fired = evidence.journal.of("alert.fired")
    early = [entry for entry in fired if entry.offset_s < 0]
    if early:
        return Finding(f"{early[0].subject} fired {-early[0].offset_s:.0f} s before", False)
    if not fired:
        return Finding("no alert fired", False)
    first = fired[0]
    observed = f"{first.subject} fired at T+{first.offset_s:.0f} s"
    return Finding(observed, first.offset_s - evidence.fault_s <= ALERT_WITHIN_S)


def _miss_status(evidence: Evidence) -> int:
    return 503 if "honest-origin" in evidence.safeguards else 404


def _damaged_pages(evidence: Evidence) -> Finding:
    served = failed = 0
    wrong = []
    for visit in evidence.visits():
        if not evidence.broken_for(visit):
            continue
        status, cached = visit.details["status"], visit.details["cache"] == "hit"
        if cached and status == 200 and visit.details["blob"] in evidence.right_blobs(visit):
            served += 1
        elif not cached and status == _miss_status(evidence):
            failed += 1
        else:
            wrong.append(f"{visit.subject} {status} from {visit.details['cache']}")
    observed = f"{served} served from a node's cache, {failed} got {_miss_status(evidence)}"
    if wrong:
        observed += f", otherwise: {some(wrong)}"
    as_expected = False if wrong else (True if served and failed else None)
    return Finding(observed, as_expected)


def _healthy_pages(evidence: Evidence) -> Finding:
    total = 0
    failed = []
    for visit in evidence.visits():
        if evidence.broken_for(visit) is not False:
            continue
        total += 1
        if visit.details["status"] >= 400 and not _never_arrived(evidence, visit):
            failed.append(visit.subject)
    observed = f"{len(failed)} of {total} visits failed"
    observed += f": {some(failed)}" if failed else ""
    return Finding(observed, not failed if total else None)


def _never_arrived(evidence: Evidence, visit: Entry) -> bool:
    """The secondary issue is judged by outcome 11: a file that was never uploaded."""
    site_id = evidence.site_ids[visit.details["site"]]
    return evidence.shown(site_id, visit.offset_s) in evidence.missing


RULES = (
    Rule(
        "outcome-02",
        "Alerts for failed origin requests fire at once",
        lambda _: f"the first alert fires within {ALERT_WITHIN_S:.0f} s of the fault",
        _alerts,
    ),
    Rule(
        "outcome-03",
        "Damaged sites live on where a node holds the page",
        lambda evidence: (
            "a page that a node holds is served with the right bytes, any other gets "
            f"{_miss_status(evidence)}"
        ),
        _damaged_pages,
    ),
    Rule(
        "outcome-04",
        "Sites whose active deploy is intact never fail",
        lambda _: "no visit to them fails",
        _healthy_pages,
    ),
)
