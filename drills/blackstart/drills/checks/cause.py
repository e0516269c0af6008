"""Whether people came to know which write did it."""

from __future__ import annotations

from blackstart.drills.checks.check import Finding, Rule
from blackstart.drills.evidence import Evidence
from blackstart.drills.timeline import offset_text


def _judge(evidence: Evidence) -> Finding:
    found = evidence.journal.of("cause.found")
    if not found:
        known = "audit-trail" not in evidence.safeguards
        return Finding("nobody knows which write it was", known)
    first = found[0]
    holding, problems = frozenset(first.details["holding"]), first.details["problems"]
    observed = (
        f"{first.subject} of {first.details['login']}, known at {offset_text(first.offset_s)}; "
        f"{len(holding & evidence.hit)} of {len(evidence.hit)} damaged deploys hold what it left"
    )
    if others := len(holding - evidence.hit):
        observed += f", and {others} others"
    if problems:
        observed += f"; the trail is not whole: {problems[0]}"
    return Finding(observed, holding == evidence.hit and not problems)


def _expected(evidence: Evidence) -> str:
    if "audit-trail" in evidence.safeguards:
        return "the audit trail names the write, and what it left is in exactly the damaged deploys"
    return "without a record nobody ever knows"


RULES = (Rule("cause", "What people know of the cause", _expected, _judge),)
