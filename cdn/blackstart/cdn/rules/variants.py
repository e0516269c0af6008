"""Variants of a page that do not fit a request, but whose tags the origin may still confirm.

RFC 9111 sections 4.1, 4.3.1, 4.3.4. Only strong tags are asked about: a weak one is often the
same for a page and its compressed form, one of which the visitor cannot read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from blackstart.cdn.fields.validators import etag_of, is_strong
from blackstart.cdn.fields.vary import selecting
from blackstart.cdn.message import Request, Response
from blackstart.cdn.rules.decision import ORIGIN_CONDITIONS, VISITOR_CONDITIONS, made_at
from blackstart.cdn.rules.policy import Policy
from blackstart.cdn.rules.validating import updated
from blackstart.cdn.storage.entry import Entry

MOST_TAGS = 8
LONGEST_TAG = 256
LARGEST_BYTES = 1024 * 1024
"""A variant with a longer body is not copied, but asked for."""

# A request with one of these is about more, or less, than the page as it is.
_OWN = VISITOR_CONDITIONS | ORIGIN_CONDITIONS | {"authorization", "range", "if-range"}
# What varies on one of these may be somebody's own: an origin whose tags are not what they
# should be must not make it anybody else's.
_PERSONAL = frozenset({"authorization", "cookie"})


def candidates_of(request: Request, stored: Sequence[Entry]) -> list[Entry]:
    """The newest variants that the origin may choose from in its answer to this request."""
    if request.method != "GET" or request.headers.has_any(_OWN):
        return []
    found = [entry for entry in stored if _may_be_chosen(request, entry)]
    return sorted(found, key=made_at, reverse=True)[:MOST_TAGS]


def choice_of(request: Request, candidates: Sequence[Entry]) -> Request:
    """The request that lets the origin name one of the candidates by its tag."""
    tags = dict.fromkeys([etag_of(entry.headers) or "" for entry in candidates])
    return replace(request, headers=request.headers.plus(("if-none-match", ", ".join(tags))))


def chosen_by(response: Response, candidates: Sequence[Entry]) -> Entry | None:
    """The newest candidate that a 304 names."""
    etag = etag_of(response.headers)
    same = [entry for entry in candidates if etag_of(entry.headers) == etag]
    return same[0] if same else None


def adopted(
    request: Request,
    entry: Entry,
    response: Response,
    policy: Policy,
    *,
    asked_at: float,
    received_at: float,
) -> tuple[Entry, bool]:
    """The chosen variant as a variant for this request, and whether it may be kept."""
    fresh, may_stay = updated(
        request, entry, response, policy, asked_at=asked_at, received_at=received_at
    )
    fresh.selecting = selecting([name for name, _ in fresh.selecting], request.headers)
    return fresh, may_stay


def _may_be_chosen(request: Request, entry: Entry) -> bool:
    if entry.status != 200 or entry.part is not None or entry.size > LARGEST_BYTES:
        return False
    if not _PERSONAL.isdisjoint([name for name, _ in entry.selecting]):
        return False
    headers = entry.headers
    etag, coding = etag_of(headers), headers.joined("content-encoding")
    if etag is None or len(etag) > LONGEST_TAG or not is_strong(etag):
        return False
    return coding is None or coding.lower() in _codings(request)


def _codings(request: Request) -> list[str]:
    accepted = (request.headers.joined("accept-encoding") or "").lower()
    return [coding.strip() for coding in accepted.split(",")]
