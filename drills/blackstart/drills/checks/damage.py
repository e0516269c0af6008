"""Outcome 1: exactly the share of deploys loses its metadata, and nothing else changes."""

from __future__ import annotations

from blackstart.drills.checks.check import Finding, Rule, some
from blackstart.drills.evidence import Evidence
from blackstart.drills.faults.overwrite_metadata import SHARE, victim_count
from blackstart.model import InvalidDeploy, parse_deploy


def _expected(evidence: Evidence) -> str:
    deploys = len(evidence.oracle.before.deploys)
    return (
        f"{victim_count(deploys)} of {deploys} deploys ({SHARE:.1%}) lose their metadata, "
        "no other document changes"
    )


def _judge(evidence: Evidence) -> Finding:
    before, after = evidence.oracle.before, evidence.oracle.after
    others = sorted(
        f"{collection}/{key}"
        for collection, key in before.changed(after)
        if collection != "deploys" or key not in evidence.hit
    )
    more = [
        key
        for key in sorted(evidence.hit)
        if {**before.deploys[key], "metadata": None} != {**after.deploys[key], "metadata": None}
    ]
    lost = sum(isinstance(parse_deploy(after.deploys[key]), InvalidDeploy) for key in evidence.hit)
    total = len(before.deploys)
    observed = f"{lost} of {total} lost their metadata"
    observed += f", and {some(others + more)} changed too" if others or more else ", nothing else"
    return Finding(observed, lost == victim_count(total) and not others and not more)


RULES = (Rule("outcome-01", "The migration hits 5.2 % of deploys", _expected, _judge),)
