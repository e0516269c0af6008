"""The checks of a day on which the fault was stopped: each outcome of the review stays away.

They have the ids of the outcomes that they answer, and judge by the same
evidence: what was foreseen by the guard's preview, all else by what happened.
"""

from __future__ import annotations

from blackstart.drills.checks.check import Finding, Rule, some
from blackstart.drills.checks.recovery import ENTERPRISE, healthy_changed
from blackstart.drills.checks.safety import NO_OLDER_OVER_NEWER, RIGHT_BYTES
from blackstart.drills.evidence import Evidence
from blackstart.drills.faults.overwrite_metadata import SHARE, victim_count
from blackstart.drills.incidents.feb2 import FIX_S
from blackstart.drills.journal import Entry
from blackstart.guard.preview.statements import LOOKED_AT

LOST_FIELD = "metadata.tree"
REPAIRS = ("deploy.restored", "site.reverted", "build.pushed")


def _foreseen(evidence: Evidence) -> Finding:
    (held,) = evidence.journal.of("write.held")
    matched, total = held.details["matched"], held.details["total"]
    replaced = held.details["replaced"].get("metadata", 0)
    losing = held.details["dropped"].get(LOST_FIELD, 0)
    deploys = len(evidence.oracle.before.deploys)
    observed = (
        f"{matched} of {total} deploys; of {min(matched, LOOKED_AT)} looked at, {replaced} would "
        f"have metadata replaced whole, {losing} would lose {LOST_FIELD}"
    )
    counted = matched == victim_count(deploys) and total == deploys
    return Finding(observed, counted and replaced == losing == min(matched, LOOKED_AT))


def _no_alert(evidence: Evidence) -> Finding:
    fired = evidence.journal.of("alert.fired")
    return Finding(f"{len(fired)} alerts fired", not fired)


def _misses(evidence: Evidence) -> Finding:
    asked = [visit for visit in evidence.visits() if visit.details["cache"] != "hit"]
    return _answered(asked, "pages that no node held")


def _visits(evidence: Evidence) -> Finding:
    return _answered(list(evidence.visits()), "visits")


def _answered(visits: list[Entry], what: str) -> Finding:
    failed = [visit.subject for visit in visits if visit.details["status"] >= 400]
    observed = f"{len(failed)} of {len(visits)} {what} failed"
    observed += f": {some(failed)}" if failed else ""
    return Finding(observed, not failed if visits else None)


def _reads(evidence: Evidence) -> Finding:
    reads = [each for each in evidence.journal.of("api.read", "page.read") if each.offset_s >= 0]
    failed = [each.subject for each in reads if each.details["status"] != 200]
    observed = f"{len(failed)} of {len(reads)} responses failed"
    observed += f": {some(failed)}" if failed else ""
    return Finding(observed, not failed if reads else None)


def _builds(evidence: Evidence, from_s: float, to_s: float) -> Finding:
    found = evidence.journal.of("publish.checked")
    checks = [check for check in found if from_s <= check.offset_s < to_s]
    failed = [check.subject for check in checks if check.details["outcome"] == "failed"]
    observed = f"{len(failed)} of {len(checks)} builds stuck"
    observed += f": {some(failed)}" if failed else ""
    return Finding(observed, not failed if checks else None)


def _no_repairs(evidence: Evidence) -> Finding:
    made = evidence.journal.of(*REPAIRS)
    return Finding(f"{len(made)} repairs were made", not made)


def _pushes(evidence: Evidence) -> Finding:
    stuck = evidence.journal.of("build.stuck")
    return Finding(f"{len(stuck)} deploys stuck", not stuck)


def _files(evidence: Evidence) -> Finding:
    read = {page.deploy_id for page in evidence.oracle.deploy_pages}
    missing = sorted(evidence.missing)
    observed = f"{len(missing)} of {len(read)} new deploys miss files"
    observed += f": {some(missing)}" if missing else ""
    return Finding(observed, not missing if read else None)


def _unchanged(evidence: Evidence) -> Finding:
    changed = healthy_changed(evidence)
    total = len(evidence.oracle.before.deploys)
    observed = f"{total} deploys from before, {len(changed)} documents changed"
    observed += f": {some(changed)}" if changed else ""
    return Finding(observed, not changed if evidence.oracle.final.deploys else None)


def _stopped(evidence: Evidence) -> Finding:
    """By the journal the write was held, was not let through, and was never sent."""
    held = evidence.journal.of("write.held")
    sent = evidence.journal.of("write.sent")
    if not held:
        return Finding("something stopped it, but no guard held it", False)
    said = evidence.journal.of("request.said")
    told = "; ".join(f"{each.details['word']} by {each.details['login']}" for each in said)
    observed = f"held as {held[-1].subject}, {told or 'and nobody approved it'}"
    observed += ", and sent all the same" if sent else ", never sent"
    return Finding(observed, not sent)


PREVENTED = (
    Rule(
        "outcome-01",
        "The preview shows what the migration would have done",
        lambda evidence: (
            f"{victim_count(len(evidence.oracle.before.deploys))} of "
            f"{len(evidence.oracle.before.deploys)} deploys ({SHARE:.1%}) would lose their pointer"
        ),
        _foreseen,
    ),
    Rule("outcome-02", "No alert fires", lambda _: "none, all day", _no_alert),
    Rule(
        "outcome-03",
        "Pages that no node holds are answered",
        lambda _: "the origin has every page",
        _misses,
    ),
    Rule("outcome-04", "No visit fails", lambda _: "no visit to any site fails", _visits),
    Rule("outcome-05", "API and web UI work", lambda _: "no response fails", _reads),
    Rule(
        "outcome-06",
        "Builds get through the publish check",
        lambda _: "no build sticks",
        lambda evidence: _builds(evidence, 0.0, FIX_S),
    ),
    Rule("outcome-07", "Nothing has to be pushed through", lambda _: "no deploy sticks", _pushes),
    Rule(
        "outcome-08",
        "Builds go through for the rest of the day",
        lambda _: "from T+128 min no build sticks",
        lambda evidence: _builds(evidence, FIX_S, float("inf")),
    ),
    Rule("outcome-09", "Nothing needs the backup", lambda _: "no deploy is repaired", _no_repairs),
    ENTERPRISE,
    Rule("outcome-11", "Every file arrives", lambda _: "no new deploy misses files", _files),
    Rule(
        "outcome-12",
        "Every deploy is as it was",
        lambda _: "no healthy document was changed",
        _unchanged,
    ),
    Rule(
        "fault-took-effect",
        "The fault was stopped",
        lambda _: "the guard held the write, and it was never sent to the database",
        _stopped,
    ),
    RIGHT_BYTES,
    NO_OLDER_OVER_NEWER,
)
