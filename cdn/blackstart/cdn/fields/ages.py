"""Age and Date: how old a response is when it arrives (RFC 9111 section 4.2.3)."""

from __future__ import annotations

from blackstart.cdn.fields.dates import parse_date
from blackstart.cdn.fields.directives import MAX_SECONDS
from blackstart.cdn.message import Headers


def initial_age_s(headers: Headers, asked_at: float, answered_at: float) -> float:
    """The corrected initial age; times are Unix seconds.

    A Date has no fraction: what comes within its second is new, and not as old
    as the second already is.
    """
    made_at = parse_date(headers.get("date") or "")
    apparent_s = max(0.0, int(answered_at) - made_at) if made_at is not None else 0.0
    return max(apparent_s, age_s(headers) + max(0.0, answered_at - asked_at))


def age_s(headers: Headers) -> float:
    """The Age field: its first member; 0 when that is no number (section 5.1)."""
    text = (headers.get("age") or "").partition(",")[0].strip()
    if not (text.isascii() and text.isdigit()):
        return 0.0
    return float(MAX_SECONDS if len(text) > 10 else min(int(text), MAX_SECONDS))
