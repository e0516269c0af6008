"""How long an answer asks to be left alone (RFC 9110 section 10.2.3)."""

from __future__ import annotations

from blackstart.cdn.fields.dates import parse_date
from blackstart.cdn.message import Response

# The statuses that say: not now, rather than: no.
BUSY = frozenset({429, 503})
# No single answer, which one site out of many may have made, counts for longer.
LONGEST_S = 60.0


def retry_after_s(response: Response, now: float) -> float | None:
    """Seconds from `now` (Unix time) until the origin wants to be asked again, up to a minute.

    None when its status isn't 429 or 503, or it doesn't say, or not in a way that can be read.
    """
    if response.status not in BUSY:
        return None
    value = response.headers.get("retry-after")
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return LONGEST_S if len(value.lstrip("0")) > 3 else min(float(value), LONGEST_S)
    at = parse_date(value)
    return None if at is None else min(max(0.0, at - now), LONGEST_S)
