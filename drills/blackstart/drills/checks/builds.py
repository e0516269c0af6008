"""Outcomes 6, 7 and 8: rebuilds that stick at the publish check, and how they get through."""

from __future__ import annotations

from blackstart.drills.checks.check import Finding, Rule, some
from blackstart.drills.evidence import Evidence
from blackstart.drills.incidents.feb2 import FIX_S, SCRIPT_PUSH_S
from blackstart.drills.journal import Entry

SCRIPT_WITHIN_S = 120.0


def _latest_completed(evidence: Evidence, check: Entry) -> str | None:
    """The site's latest completed deploy at a publish check, by the journal alone."""
    completed = [
        deploy
        for deploy, since_s in evidence.ready_since.get(check.details["site"], ())
        if since_s <= check.offset_s and deploy != check.subject
    ]
    return max(completed, key=lambda deploy: evidence.numbers[deploy], default=None)


def _checks_between(evidence: Evidence, from_s: float, to_s: float) -> list[Entry]:
    checks = evidence.journal.of("publish.checked")
    return [check for check in checks if from_s <= check.offset_s < to_s]


def _sticking(evidence: Evidence) -> Finding:
    checks = _checks_between(evidence, 0, FIX_S)
    tolerant = "tolerant-publish" in evidence.safeguards
    wrong = []
    for check in checks:
        latest = _latest_completed(evidence, check)
        invalid = latest is not None and evidence.damaged(latest, check.offset_s)
        if (check.details["outcome"] == "failed") is not (invalid and not tolerant):
            wrong.append(check.subject)
    failed = sum(check.details["outcome"] == "failed" for check in checks)
    observed = f"{failed} of {len(checks)} builds stuck at the check"
    if wrong:
        observed += f", wrongly: {some(wrong)}"
    if not checks:
        return Finding("no build reached the check", None)
    return Finding(observed, not wrong and (tolerant or failed > 0))


def _pushing(evidence: Evidence) -> Finding:
    pushed = {entry.subject: entry for entry in evidence.journal.of("build.pushed")}
    stuck = evidence.journal.of("build.stuck")
    late = []
    for entry in stuck:
        push = pushed.get(entry.subject)
        due = max(entry.offset_s, SCRIPT_PUSH_S) + SCRIPT_WITHIN_S
        if push is None or push.offset_s > due or not _through(evidence, push):
            late.append(entry.subject)
    by_hand = sum(push.offset_s < SCRIPT_PUSH_S for push in pushed.values())
    observed = f"{by_hand} pushed by hand, {len(pushed) - by_hand} by the script"
    if late:
        observed += f", not through: {some(late)}"
    return Finding(observed, not late)


def _through(evidence: Evidence, push: Entry) -> bool:
    """A pushed deploy is on show at once, unless a newer one is already."""
    shown = evidence.shown(push.details["site"], push.offset_s)
    mine = push.details["deploy"]
    return shown == mine or evidence.numbers[shown] > evidence.numbers[mine]


def _fixed(evidence: Evidence) -> Finding:
    checks = _checks_between(evidence, FIX_S, float("inf"))
    failed = [check.subject for check in checks if check.details["outcome"] == "failed"]
    observed = f"{len(failed)} of {len(checks)} builds stuck"
    return Finding(observed, not failed if checks else None)


RULES = (
    Rule(
        "outcome-06",
        "Rebuilds stick at the publish check in some cases",
        lambda evidence: (
            "no build sticks: an invalid latest deploy is passed over"
            if "tolerant-publish" in evidence.safeguards
            else "until T+128 min a build sticks exactly when the site's latest completed "
            "deploy is damaged"
        ),
        _sticking,
    ),
    Rule(
        "outcome-07",
        "Stuck deploys are pushed through",
        lambda _: "by hand at once; from T+63 min the script pushes each within 2 min",
        _pushing,
    ),
    Rule(
        "outcome-08",
        "The fixed background processors publish normally",
        lambda _: "from T+128 min no build sticks",
        _fixed,
    ),
)
