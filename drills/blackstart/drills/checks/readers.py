"""Outcome 5: API and web UI fail for every response that includes a damaged deploy."""

from __future__ import annotations

from blackstart.drills.checks.check import Finding, Rule, some
from blackstart.drills.evidence import Evidence
from blackstart.drills.journal import Entry


def _fixed_at(evidence: Evidence, part: str) -> float:
    if "tolerant-api" in evidence.safeguards:
        return 0.0
    for entry in evidence.journal.of("fix.released"):
        if entry.subject == part:
            return entry.offset_s
    return float("inf")


def _judge(evidence: Evidence) -> Finding:
    fixed = {"api.read": _fixed_at(evidence, "api"), "page.read": _fixed_at(evidence, "pages")}
    failed = served = 0
    wrong = []
    for entry in evidence.journal.of("api.read", "page.read"):
        if entry.offset_s < 0:
            continue
        ok = entry.details["status"] == 200
        served, failed = served + ok, failed + (not ok)
        if ok is not _should_work(evidence, entry, fixed[entry.action]):
            wrong.append(f"{entry.subject} gave {entry.details['status']}")
    observed = f"{failed} responses failed, {served} worked"
    if wrong:
        observed += f", wrongly: {some(wrong)}"
    return Finding(observed, None if not served else not wrong)


def _should_work(evidence: Evidence, entry: Entry, fixed_s: float) -> bool:
    if entry.offset_s >= fixed_s:
        return True
    return not any(evidence.damaged(deploy, entry.offset_s) for deploy in entry.details["deploys"])


def _expected(evidence: Evidence) -> str:
    if "tolerant-api" in evidence.safeguards:
        return "no response fails: a damaged deploy is listed as invalid"
    return "until they are fixed, exactly the responses that include a damaged deploy fail"


RULES = (Rule("outcome-05", "API and web UI fail on damaged deploys", _expected, _judge),)
