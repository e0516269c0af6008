"""How long a response is fresh (RFC 9111 section 4.2)."""

from __future__ import annotations

from blackstart.cdn.fields.dates import parse_date
from blackstart.cdn.fields.directives import Directives
from blackstart.cdn.message import Headers
from blackstart.cdn.rules.policy import Policy

# RFC 9110 section 15.1, without those whose meaning this cache does not implement.
HEURISTIC = frozenset({200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501})


def lifetime_s(
    status: int, headers: Headers, directives: Directives, received_at: float, policy: Policy
) -> float | None:
    """The freshness lifetime in seconds (section 4.2.1); None when nothing grants one.

    First s-maxage, then max-age, then Expires, then a heuristic. A targeted
    field hides Expires (RFC 9213 section 2.2).
    """
    given_s: float | None = directives.lifetime_s
    if given_s is None and not directives.targeted and "expires" in headers:
        given_s = _until_expiry_s(headers, received_at)
    if given_s is None:
        given_s = _heuristic_s(status, headers, directives, received_at, policy)
    if given_s is None:
        return None
    if status >= 500:
        return min(given_s, policy.server_error_s)
    return min(given_s, policy.client_error_s) if status >= 400 else given_s


def is_explicit(headers: Headers, directives: Directives) -> bool:
    """Whether the origin itself said how long the response is fresh."""
    return directives.lifetime_s is not None or (not directives.targeted and "expires" in headers)


def named_by(headers: Headers, directives: Directives) -> str | None:
    """Which field the lifetime is from; None: from none, so that there is no lifetime."""
    if directives.lifetime_s is not None:
        return "CDN-Cache-Control" if directives.targeted else "Cache-Control"
    if is_explicit(headers, directives):
        return "Expires"
    return "Last-Modified" if "last-modified" in headers else None


def _until_expiry_s(headers: Headers, received_at: float) -> float:
    """Expires minus Date; an invalid Expires, `0` above all, is in the past (section 5.3)."""
    expires = headers.all("expires")
    moments = {parse_date(value) for value in expires}
    if len(moments) != 1:
        return 0.0
    expires_at = moments.pop()
    if expires_at is None:
        return 0.0
    made_at = parse_date(headers.get("date") or "")
    return max(0.0, expires_at - (received_at if made_at is None else made_at))


def _heuristic_s(
    status: int, headers: Headers, directives: Directives, received_at: float, policy: Policy
) -> float | None:
    """A share of the time since the last modification (section 4.2.2)."""
    if status not in HEURISTIC and not directives.public:
        return None
    modified_at = parse_date(headers.get("last-modified") or "")
    if modified_at is None:
        return None
    made_at = parse_date(headers.get("date") or "")
    unchanged_s = (received_at if made_at is None else made_at) - modified_at
    return min(max(0.0, unchanged_s) * policy.heuristic_share, policy.heuristic_limit_s)
