"""What a shared cache may store, for how long, and how old it is: pure functions (RFC 9111)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from blackstart.cdn.directives import MAX_SECONDS, directives_of, parse_general
from blackstart.cdn.message import Headers, Request, Response

STORABLE_STATUS = frozenset({200, 203, 204, 300, 301, 302, 307, 308, 404, 405, 410})


@dataclass(frozen=True, slots=True)
class Storage:
    """Permission to store one response: its lifetime and how long past it errors may be covered."""

    lifetime_s: float
    stale_window_s: float
    vary: tuple[str, ...]


def storage_of(request: Request, response: Response, stale_default_s: float) -> Storage | None:
    """Whether and for how long a shared cache may keep `response` (RFC 9111 section 3).

    Only an explicit lifetime counts; `Expires` and heuristics are left out.
    """
    if request.method != "GET" or response.status not in STORABLE_STATUS:
        return None
    if "authorization" in request.headers or "set-cookie" in response.headers:
        return None
    if "content-range" in response.headers or _asks_not_to_store(request.headers):
        return None
    vary = vary_names(response.headers)
    directives = directives_of(response.headers)
    lifetime_s = directives.lifetime_s
    if vary is None or lifetime_s is None:
        return None
    if directives.no_store or directives.private or directives.no_cache:
        return None
    return Storage(float(lifetime_s), directives.stale_window_s(stale_default_s), vary)


def vary_names(headers: Headers) -> tuple[str, ...] | None:
    """The request headers a response depends on, sorted; None for `Vary: *`, which never fits."""
    value = headers.joined("vary")
    if value is None:
        return ()
    names = {name.strip().lower() for name in value.split(",")} - {""}
    return None if "*" in names else tuple(sorted(names))


def primary_key(request: Request) -> str:
    """The part of the cache key that every variant of a page shares."""
    return f"{request.host.lower()} {request.target}"


def variant_key(primary: str, vary: Iterable[str], headers: Headers) -> str:
    """The full cache key: the primary one and the request headers that `Vary` names."""
    # repr() keeps an absent header apart from an empty one, and values from running together.
    named = [f"{name}={headers.joined(name)!r}" for name in vary]
    return "\n".join([primary, *named]) if named else primary


def initial_age_s(headers: Headers, asked_at: float, answered_at: float) -> float:
    """How old a response is on arrival (RFC 9111 section 4.2.3); times are Unix seconds."""
    apparent_age_s = max(0.0, answered_at - _date_s(headers, answered_at))
    corrected_age_s = _age_s(headers) + (answered_at - asked_at)
    return max(apparent_age_s, corrected_age_s)


def _asks_not_to_store(headers: Headers) -> bool:
    value = headers.joined("cache-control")
    return value is not None and parse_general(value).no_store


def _age_s(headers: Headers) -> float:
    text = (headers.get("age") or "").strip()
    if not (text.isascii() and text.isdigit()):
        return 0.0
    return float(MAX_SECONDS if len(text) > 10 else min(int(text), MAX_SECONDS))


def _date_s(headers: Headers, default: float) -> float:
    text = headers.get("date")
    if text is None:
        return default
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, IndexError, TypeError):
        return default
