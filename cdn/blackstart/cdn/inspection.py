"""What a stored response is and what would be done with it, in words for those who run a node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from blackstart.cdn.fields.directives import Wishes, directives_of
from blackstart.cdn.message import Request
from blackstart.cdn.rules.decision import (
    Complete,
    Fetch,
    Pass,
    Refuse,
    Reuse,
    Validate,
    covers_errors,
    current_age_s,
    decide,
    is_fresh,
)
from blackstart.cdn.rules.freshness import named_by
from blackstart.cdn.rules.policy import Policy
from blackstart.cdn.rules.storing import Rule
from blackstart.cdn.storage.entry import Entry

_RULES = {
    Rule.VALIDATE: "never reused without the origin's consent",
    Rule.ONLY_AS_GRANTED: "stale only as the origin allows",
    Rule.AUTHORIZED: "may answer requests with Authorization",
}


def summary(entry: Entry, now: float) -> dict[str, Any]:
    """One stored response, for a list; `size` in bytes, `age_s` and `ttl_s` in seconds."""
    host, _, target = entry.key.partition(" ")
    age_s = current_age_s(entry, now)
    return {
        "host": host,
        "target": target,
        "status": entry.status,
        "size": entry.size,
        "age_s": round(age_s, 1),
        "ttl_s": round(entry.lifetime_s - age_s, 1),
        "fresh": is_fresh(entry, now),
        "stale": entry.stale,
        "plan": entry.plan,
        "tags": list(entry.tags),
        "vary": dict(entry.selecting),
        "part": None if entry.part is None else list(entry.part),
        "memory": entry.body is not None,
        "disk": entry.disk is not None,
    }


def details(entry: Entry, now: float, policy: Policy) -> dict[str, Any]:
    """One stored response with its fields, and why it is fresh or not."""
    return {
        **summary(entry, now),
        "stored_at": entry.stored_at,
        "lifetime_s": entry.lifetime_s,
        "lifetime_by": named_by(entry.headers, directives_of(entry.headers, policy.targeted)),
        "because": freshness(entry, now),
        "covers_errors": covers_errors(entry, now, Wishes(), policy),
        "rules": [text for rule, text in _RULES.items() if entry.rules & rule],
        "headers": [list(pair) for pair in entry.headers],
    }


def freshness(entry: Entry, now: float) -> str:
    """Why it is fresh, or is not (RFC 9111 section 4.2)."""
    age_s = current_age_s(entry, now)
    if entry.stale:
        return "marked stale: the origin has to confirm it"
    if entry.rules & Rule.VALIDATE:
        return "no-cache: the origin has to confirm it each time"
    if age_s >= entry.lifetime_s:
        return f"its lifetime of {entry.lifetime_s:.0f} s is over: it is {age_s:.0f} s old"
    return f"fresh for another {entry.lifetime_s - age_s:.0f} s of {entry.lifetime_s:.0f} s"


def outlook(request: Request, stored: Sequence[Entry], now: float, policy: Policy) -> str:
    """What the node would do with this request now, as one line."""
    match decide(request, stored, now, policy):
        case Reuse(entry, stale):
            place = "memory" if entry.body is not None else "disk"
            if stale:
                return f"hit: send the stale copy from {place}, and ask the origin meanwhile"
            return f"hit: send the copy from {place}"
        case Validate(_, reason):
            return f"fwd={reason}: ask the origin whether the copy is still right"
        case Complete():
            return "fwd=partial: ask the origin for what the copy lacks"
        case Fetch(reason) | Pass(reason):
            return f"fwd={reason}: ask the origin"
        case Refuse():
            return "504: only a stored response is wanted, and there is none"
