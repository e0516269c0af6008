"""What to do with a request, given what is stored: the heart of RFC 9111 section 4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from blackstart.cdn.fields.directives import MAX_SECONDS, Wishes, parse_wishes
from blackstart.cdn.fields.ranges import lacks, parse_range
from blackstart.cdn.fields.validators import etag_of, is_strong, range_applies
from blackstart.cdn.fields.vary import matches
from blackstart.cdn.message import Request
from blackstart.cdn.rules.policy import Policy
from blackstart.cdn.rules.storing import Rule
from blackstart.cdn.storage.entry import Entry
from blackstart.errors import HopError

# Preconditions that only an origin can judge (section 4.3.2).
ORIGIN_CONDITIONS = frozenset({"if-match", "if-unmodified-since"})
VISITOR_CONDITIONS = frozenset({"if-none-match", "if-modified-since"})
# A request with none of these fields needs no more than a fresh response that fits.
DEMANDS = ORIGIN_CONDITIONS | frozenset({"authorization", "cache-control", "range"})

_NO_WISHES = Wishes()
# With one of these of its own, `fetch` skips the browser's cache (HTTP-network-or-cache fetch).
_OF_SCRIPTS = VISITOR_CONDITIONS | frozenset({"if-range"})


@dataclass(frozen=True, slots=True)
class Reuse:
    """Answer with this stored response; `stale` asks for its validation meanwhile."""

    entry: Entry
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Validate:
    """Ask the origin whether this stored response is still right (section 4.3).

    `reason` is why, in the words of Cache-Status (RFC 9211 section 2.2).
    """

    entry: Entry
    reason: str


@dataclass(frozen=True, slots=True)
class Complete:
    """Ask the origin for what this stored part lacks (section 3.4)."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Fetch:
    """Ask the origin, as nothing stored will do. `reason` is why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Pass:
    """Hand the request on, whatever is stored. `reason` is why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """504: the visitor wants a stored response only, and there is none (section 5.2.1.7)."""


Decision = Reuse | Validate | Complete | Fetch | Pass | Refuse


def decide(
    request: Request,
    stored: Sequence[Entry],
    now: float,
    policy: Policy,
    *,
    heard: bool = True,
) -> Decision:
    """The decision for one request at the time `now`, in Unix seconds.

    Where the node has not `heard` of purges lately nothing is fresh.
    """
    if request.method not in ("GET", "HEAD"):
        return Pass("method")
    # Content in a GET has no meaning that a cache knows (RFC 9110 section 9.3.1).
    if request.body or request.headers.has_any(ORIGIN_CONDITIONS):
        return Pass("bypass")
    wishes = wishes_of(request, policy)
    entry, reason = select(request, stored)
    if entry is None:
        return Refuse() if wishes.only_if_cached else Fetch(reason)
    if entry.part is not None and not has_what_is_asked(request, entry):
        if wishes.only_if_cached:
            return Refuse()
        return Complete(entry) if _can_be_completed(request, entry) else Fetch("partial")
    decision = _reuse(entry, now, wishes, policy, heard=heard)
    if entry.part is None or decision == Reuse(entry) or isinstance(decision, Refuse):
        return decision
    # A part is asked for anew: that costs no more than to ask whether it is still right.
    return Fetch(decision.reason if isinstance(decision, Validate) else "stale")


def select(request: Request, stored: Sequence[Entry]) -> tuple[Entry | None, str]:
    """The stored response that fits a request (section 4.1), or why there is none.

    Of several the newest is taken: of those that vary, where there are any, as the
    others may be what an origin says to whoever has no preference. Whole ones come
    before parts, and of those one that has what is asked for, or can be completed.
    """
    if not stored:
        return None, "uri-miss"
    fitting = [entry for entry in stored if matches(entry.selecting, request.headers)]
    if not fitting:
        return None, "vary-miss"
    if "authorization" in request.headers:
        fitting = [entry for entry in fitting if entry.rules & Rule.AUTHORIZED]
        if not fitting:
            return None, "request"

    def rank(entry: Entry) -> tuple[bool, bool, bool, bool, float]:
        varies, made = bool(entry.selecting), made_at(entry)
        if entry.part is None:
            return True, True, True, varies, made
        has_it = has_what_is_asked(request, entry)
        return False, has_it, has_it or _can_be_completed(request, entry), varies, made

    return max(fitting, key=rank), ""


def made_at(entry: Entry) -> float:
    """When the origin made the response, in Unix seconds."""
    return entry.stored_at - entry.initial_age_s


def current_age_s(entry: Entry, now: float) -> float:
    """Seconds since the origin made or confirmed the response (section 4.2.3)."""
    return entry.initial_age_s + max(0.0, now - entry.stored_at)


def is_fresh(entry: Entry, now: float) -> bool:
    """Whether it may be reused without a question (section 4.2)."""
    return (
        not entry.stale
        and not entry.rules & Rule.VALIDATE
        and current_age_s(entry, now) < entry.lifetime_s
    )


def is_for_others(entry: Entry) -> bool:
    """Whether it may also answer those who asked while it was under way (section 4).

    That is a reuse: what has to be confirmed each time, or was never fresh, is for
    the one visitor who caused it. A lifetime that was over on arrival will do, or
    a slow origin would be asked by everybody at once.
    """
    if entry.rules & Rule.VALIDATE:
        return False
    return entry.lifetime_s > 0 or entry.stale_while_revalidate_s > 0


def covers_errors(
    entry: Entry, now: float, wishes: Wishes, policy: Policy, *, heard: bool = True
) -> bool:
    """Whether it may stand in for an origin that fails (RFC 5861 section 4).

    What is an error itself covers for none: the newer one tells more. Nor does a
    part: who asks the origin in its place asks for more (RFC 9111 section 3.3).
    """
    if entry.status >= 500 or entry.part is not None:
        return False
    if not heard and not policy.serve_unheard:
        return False
    if not policy.stale_if_error:
        return False
    wished_s = 0 if entry.rules & Rule.ONLY_AS_GRANTED else wishes.stale_if_error_s or 0
    return _staleness_s(entry, now) < max(entry.stale_if_error_s, float(wished_s))


def status_without_answer(error: HopError, held: Entry | None) -> int:
    """What to say when nobody answered, and nothing stored may stand in.

    Cut off from an origin that wants its page validated, a cache says 504 (section 5.2.2.2).
    """
    is_cut_off = error.kind in ("unreachable", "unanswered", "shut")
    if held is not None and held.rules & Rule.ONLY_AS_GRANTED and is_cut_off:
        return 504
    return error.status


def wishes_of(request: Request, policy: Policy) -> Wishes:
    """The advice in a request's Cache-Control, as far as it is taken. Pragma is not (5.4).

    The `no-cache` that `fetch` writes into both fields of a request with
    conditions of its own is nobody's wish: it is there to get by the browser's
    cache. A reload has no conditions, or says `max-age=0`.
    """
    headers = request.headers
    value = headers.joined("cache-control") if policy.obey_clients else None
    if value is None:
        return _NO_WISHES
    if value == headers.joined("pragma") == "no-cache" and headers.has_any(_OF_SCRIPTS):
        return _NO_WISHES
    return parse_wishes(value)


def _reuse(entry: Entry, now: float, wishes: Wishes, policy: Policy, *, heard: bool) -> Decision:
    if wishes.no_cache:
        return Refuse() if wishes.only_if_cached else Validate(entry, "request")
    age_s = current_age_s(entry, now)
    if heard and is_fresh(entry, now):
        wanted = age_s <= (MAX_SECONDS if wishes.max_age_s is None else wishes.max_age_s)
        wanted = wanted and entry.lifetime_s - age_s >= (wishes.min_fresh_s or 0)
        # A fresh answer that the visitor finds too old may still be stale enough for `max-stale`.
        if wanted:
            return Reuse(entry)
        return Refuse() if wishes.only_if_cached else Validate(entry, "request")
    staleness_s = _staleness_s(entry, now)
    if heard or policy.serve_unheard:
        # Who takes an old copy means an aged one, not one that a purge has made stale.
        keeps_in = entry.stale or entry.rules & Rule.ONLY_AS_GRANTED
        advice = None if keeps_in else wishes.max_stale_s
        too_old = wishes.max_age_s is not None and age_s > wishes.max_age_s
        if advice is not None and staleness_s <= advice and not too_old:
            return Reuse(entry)
        asks_nothing = wishes.max_age_s is None and wishes.min_fresh_s is None
        if asks_nothing and staleness_s < entry.stale_while_revalidate_s and not entry.stale:
            return Reuse(entry, stale=True)
    return Refuse() if wishes.only_if_cached else Validate(entry, "stale")


def _staleness_s(entry: Entry, now: float) -> float:
    """How long it has not been fresh; a copy that is stale by decree counts by its age."""
    return max(0.0, current_age_s(entry, now) - entry.lifetime_s)


def has_what_is_asked(request: Request, entry: Entry) -> bool:
    """Whether a stored part holds the one range that is asked for."""
    assert entry.part is not None
    field = request.headers.joined("range")
    if field is None or request.method != "GET":
        return False
    first, end, size = entry.part
    wanted = parse_range(field, size)
    if wanted is None or len(wanted) != 1:
        return False
    if_range = request.headers.get("if-range")
    if if_range is not None and not range_applies(if_range, entry.headers):
        return False
    return first <= wanted[0][0] and wanted[0][1] <= end


def _can_be_completed(request: Request, entry: Entry) -> bool:
    """Whether what a stored beginning or end lacks can be asked for and joined (section 3.4)."""
    assert entry.part is not None
    etag = etag_of(entry.headers)
    asks_for_all = request.method == "GET" and "range" not in request.headers
    return asks_for_all and lacks(entry.part) is not None and etag is not None and is_strong(etag)
