"""Whether a response may be stored, and what is stored of it (RFC 9111 section 3)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntFlag

from blackstart.cdn.fields.ages import initial_age_s
from blackstart.cdn.fields.dates import format_date, parse_date
from blackstart.cdn.fields.directives import Directives, directives_of, parse_wishes
from blackstart.cdn.fields.ranges import parse_content_range
from blackstart.cdn.fields.validators import etag_of
from blackstart.cdn.fields.vary import selecting, vary_of
from blackstart.cdn.message import Headers, Request, Response
from blackstart.cdn.rules.freshness import HEURISTIC, is_explicit, lifetime_s
from blackstart.cdn.rules.invalidating import is_of_its_target
from blackstart.cdn.rules.policy import Policy
from blackstart.cdn.storage.entry import Entry

# The final status codes whose caching requirements this cache knows (section 5.2.2.3): those of
# RFC 9110 section 15, and 425, 451, 506 to 508 and 510, which have none of their own.
UNDERSTOOD = HEURISTIC | frozenset({201, 202, 205, 302, 303, 305, 307})
UNDERSTOOD |= frozenset({*range(400, 412), 415, 421, 422, 423, 424, 425, 426, 451})
UNDERSTOOD |= frozenset({*range(500, 509), 510})
# These are about the request they answer: its conditions, ranges, size or sender. RFC 6585
# forbids to store 428, 429, 431 and 511; the others would answer those who asked for less.
ABOUT_THE_REQUEST = frozenset({304, 412, 413, 416, 417, 428, 429, 431, 511})


class Rule(IntFlag):
    """What a stored response asks of those who reuse it, kept in `Entry.rules`."""

    VALIDATE = 1
    """Never reused without the origin's consent: no-cache (section 5.2.2.4)."""
    ONLY_AS_GRANTED = 2
    """Stale in no window but one that the origin itself gave: beside s-maxage, or where it
    says nothing else of how long the response may be kept (section 4.2.4)."""
    AUTHORIZED = 4
    """May answer requests with Authorization (section 3.5)."""


@dataclass(frozen=True, slots=True)
class Storage:
    """Permission to store one response, and on which terms; durations in seconds."""

    lifetime_s: float
    stale_if_error_s: float
    stale_while_revalidate_s: float
    rules: Rule
    vary: tuple[str, ...]
    unkept_fields: frozenset[str]
    part: tuple[int, int, int] | None


def storage_of(
    request: Request, response: Response, received_at: float, policy: Policy
) -> Storage | None:
    """Whether and how a shared cache may store the answer to `request` (section 3)."""
    judged = judge(request, response, received_at, policy)
    return judged if isinstance(judged, Storage) else None


def judge(
    request: Request, response: Response, received_at: float, policy: Policy
) -> Storage | str:
    """How the answer to `request` may be stored, or in one word why it may not.

    Only answers to GET without content are stored. `Vary: *` never fits a later request, so
    that it is not worth storing (section 4.1).
    """
    if request.method != "GET":
        return "head" if request.method == "HEAD" else "method"
    if request.body:
        return "content"
    if response.status in ABOUT_THE_REQUEST or not 200 <= response.status <= 599:
        return "status"
    headers = response.headers
    directives = directives_of(headers, policy.targeted)
    forbidden = _forbidden(request, response, directives, policy)
    if forbidden is not None:
        return forbidden
    vary = vary_of(headers)
    if vary is None or not policy.told.isdisjoint(vary):
        return "vary"
    fresh_s = lifetime_s(response.status, headers, directives, received_at, policy)
    if fresh_s is None and response.status not in HEURISTIC:
        return "no-lifetime"
    part = None
    if response.status == 206:
        part = parse_content_range(headers.get("content-range") or "")
        if part is None:
            return "content-range"
    storage = Storage(
        fresh_s or 0.0,
        _stale_if_error_s(directives, policy, is_silent=fresh_s is None),
        0.0 if directives.forbids_stale else float(directives.stale_while_revalidate_s or 0),
        _rules(directives, is_silent=fresh_s is None),
        vary,
        directives.unkept_fields,
        part,
    )
    if _is_of_use(storage, headers):
        return storage
    return "no-validator" if storage.rules & Rule.VALIDATE else "no-lifetime"


def storage_of_post(
    request: Request, response: Response, received_at: float, policy: Policy
) -> Storage | None:
    """Whether and how the answer to a POST may be stored for GET (RFC 9110 section 9.3.3).

    It must say of itself how long it is fresh, and that it is what a GET would get.
    A cookie in it is for whoever posted.
    """
    if request.method != "POST" or response.status != 200:
        return None
    if "set-cookie" in response.headers or not is_of_its_target(request, response):
        return None
    if not is_explicit(response.headers, directives_of(response.headers, policy.targeted)):
        return None
    as_get = replace(request, method="GET", body=b"")
    storage = storage_of(as_get, response, received_at, policy)
    return storage if storage is not None and storage.lifetime_s > 0 else None


def entry_of(
    key: str,
    request: Request,
    response: Response,
    storage: Storage,
    *,
    asked_at: float,
    received_at: float,
    plan: str,
) -> Entry:
    """The entry for a response; its size is known when its body has come.

    Kept are all end-to-end fields (section 3.1) but Age, which is made anew at
    each reuse, and those that `no-cache=` or `private=` name. Date is added
    where it lacks or is none (RFC 9110 section 6.6.1).
    """
    headers = response.headers.end_to_end().without({"age"} | storage.unkept_fields)
    if parse_date(headers.get("date") or "") is None:
        headers = headers.without({"date"}).plus(("date", format_date(received_at)))
    return Entry(
        key=key,
        selecting=selecting(storage.vary, request.headers),
        status=response.status,
        head=headers.packed,
        size=0,
        part=storage.part,
        stored_at=received_at,
        initial_age_s=initial_age_s(response.headers, asked_at, received_at),
        lifetime_s=storage.lifetime_s,
        stale_if_error_s=storage.stale_if_error_s,
        stale_while_revalidate_s=storage.stale_while_revalidate_s,
        rules=int(storage.rules),
        tags=tags_of(headers),
        plan=plan,
    )


def misgiving(entry: Entry) -> str:
    """In one word, why an entry that is just being stored will answer nobody by itself, if so."""
    if entry.rules & Rule.VALIDATE:
        return "no-cache"
    if entry.lifetime_s <= 0:
        return "no-lifetime"
    return "aged" if entry.initial_age_s >= entry.lifetime_s else ""


def tags_of(headers: Headers) -> tuple[str, ...]:
    """The Cache-Tag list, in lower case, each tag once."""
    value = headers.joined("cache-tag")
    if value is None:
        return ()
    tags = [tag.strip() for tag in value.lower().split(",")]
    return tuple(dict.fromkeys(tag for tag in tags if tag))


def _forbidden(
    request: Request, response: Response, directives: Directives, policy: Policy
) -> str | None:
    """What forbids to store it; None: nothing does."""
    if directives.must_understand and response.status not in UNDERSTOOD:
        return "must-understand"
    if directives.no_store and not directives.must_understand:
        return "no-store"
    wishes = request.headers.joined("cache-control")
    if policy.obey_clients and wishes is not None and parse_wishes(wishes).no_store:
        return "request-no-store"
    if "authorization" in request.headers and not directives.allows_authorized:
        return "authorization"
    if directives.private:
        return "private"
    # Without the origin's own word a cookie is one visitor's (RFC 9111 section 7.3).
    explicit = is_explicit(response.headers, directives) or directives.public
    return "set-cookie" if "set-cookie" in response.headers and not explicit else None


def _is_of_use(storage: Storage, headers: Headers) -> bool:
    """Whether it may ever be reused: fresh, stale, or after a 304."""
    if etag_of(headers) is not None or "last-modified" in headers:
        return True
    if storage.rules & Rule.VALIDATE:
        return False
    return storage.lifetime_s + storage.stale_if_error_s + storage.stale_while_revalidate_s > 0


def _stale_if_error_s(directives: Directives, policy: Policy, *, is_silent: bool) -> float:
    """How long past its lifetime it may cover for an error (RFC 5861 section 4).

    s-maxage implies proxy-revalidate (RFC 9111 section 5.2.2.10), unless the
    origin grants the use of stale copies in the same breath. What `is_silent`
    about its lifetime may be anybody's own page, and stands in for none.
    """
    if directives.forbids_stale:
        return 0.0
    if directives.stale_if_error_s is not None:
        return float(directives.stale_if_error_s)
    return 0.0 if is_silent or directives.s_maxage_s is not None else policy.stale_if_error_s


def _rules(directives: Directives, *, is_silent: bool) -> Rule:
    rules = Rule(0)
    if directives.no_cache:
        rules |= Rule.VALIDATE
    if is_silent or directives.forbids_stale or directives.s_maxage_s is not None:
        rules |= Rule.ONLY_AS_GRANTED
    if directives.allows_authorized:
        rules |= Rule.AUTHORIZED
    return rules
