"""Conditional requests to the origin, and what its answers do to a stored response.

RFC 9111 sections 3.2, 3.4, 4.3.
"""

from __future__ import annotations

from dataclasses import replace

from blackstart.cdn.fields.ages import initial_age_s
from blackstart.cdn.fields.ranges import lacks, parse_content_range
from blackstart.cdn.fields.validators import etag_of, is_strong, same_weakly
from blackstart.cdn.message import Headers, Request, Response
from blackstart.cdn.rules.decision import VISITOR_CONDITIONS
from blackstart.cdn.rules.parts import together
from blackstart.cdn.rules.policy import Policy
from blackstart.cdn.rules.storing import entry_of, storage_of
from blackstart.cdn.storage.entry import Entry

# What a request for the whole response must not carry.
_SELECTIVE = VISITOR_CONDITIONS | frozenset({"range", "if-range"})
# Fields of a 304 or a HEAD that are never taken over (section 3.2): a whole response that got
# a Content-Range would be no whole one any more.
_UNTOUCHED = frozenset({"content-length", "content-range", "age"})


def validation_of(request: Request, entry: Entry) -> Request:
    """The request that asks whether a stored response is still right (section 4.3.1).

    A visitor's own conditions and ranges are met from the response that
    comes of it.
    """
    conditions: list[tuple[str, str]] = []
    etag, modified = etag_of(entry.headers), entry.headers.get("last-modified")
    if etag is not None:
        conditions.append(("if-none-match", etag))
    if modified is not None:
        conditions.append(("if-modified-since", modified))
    return replace(request, headers=request.headers.without(_SELECTIVE).plus(*conditions))


def completion_of(request: Request, entry: Entry) -> Request:
    """The request for what a stored beginning or end lacks (section 3.4)."""
    assert entry.part is not None
    etag, missing = etag_of(entry.headers), lacks(entry.part)
    assert etag is not None and is_strong(etag) and missing is not None
    asked = request.headers.without(_SELECTIVE)
    wanted = f"bytes={missing[0]}-" + ("" if missing[0] else str(missing[1] - 1))
    fields = (("range", wanted), ("if-range", etag))
    return replace(request, headers=asked.plus(*fields))


def confirms(response: Response, entry: Entry) -> bool:
    """Whether a 304 is about this stored response (section 4.3.4).

    One without validators is taken at its word, as is a new tag beside the date that was asked for.
    """
    etag, held = etag_of(response.headers), etag_of(entry.headers)
    modified = response.headers.get("last-modified")
    same_date = modified == entry.headers.get("last-modified")
    if etag is not None and held is not None:
        return same_weakly(etag, held)
    if etag is not None:
        return modified is not None and same_date
    return held is not None or modified is None or same_date


def completes(response: Response, entry: Entry) -> bool:
    """Whether a 206 brings exactly what a stored beginning or end lacks (section 3.4)."""
    assert entry.part is not None
    part = parse_content_range(response.headers.get("content-range") or "")
    missing = lacks(entry.part)
    etag = etag_of(response.headers)
    same = etag is not None and etag == etag_of(entry.headers) and is_strong(etag)
    if not same or missing is None:
        return False
    length = response.headers.get("content-length")
    as_long = length is None or length == str(missing[1] - missing[0])
    return as_long and part == (*missing, entry.part[2])


def describes(response: Response, entry: Entry) -> bool:
    """Whether the answer to a HEAD is about this stored response (section 4.3.5)."""
    for name in ("etag", "last-modified", "content-length"):
        new, held = response.headers.get(name), entry.headers.get(name)
        if name == "content-length" and entry.part is None:
            held = str(entry.size)
        if new is not None and new != held:
            return False
    return True


def updated(
    request: Request,
    entry: Entry,
    response: Response,
    policy: Policy,
    *,
    asked_at: float,
    received_at: float,
) -> tuple[Entry, bool]:
    """The stored response brought up to date by a 304 or a HEAD, and whether it may be kept.

    Each field of the answer takes the place of the stored ones with its name
    (section 3.2). What the merged fields say of freshness then counts.
    """
    fields = response.headers.end_to_end().without(_UNTOUCHED)
    names = {name for name, _ in fields}
    # The new age comes from the answer alone: one that has no Date is as old as its arrival.
    kept = entry.headers.without(names | {"date"})
    merged = Response(entry.status, Headers.trusted(kept.pairs + fields.pairs))
    storage = storage_of(replace(request, method="GET"), merged, received_at, policy)
    if storage is None:
        return _touched(entry, merged, response, asked_at, received_at), False
    fresh = entry_of(
        entry.key,
        request,
        merged,
        storage,
        asked_at=asked_at,
        received_at=received_at,
        plan=entry.plan,
    )
    fresh.size, fresh.part, fresh.tags = entry.size, entry.part, fresh.tags or entry.tags
    fresh.initial_age_s = initial_age_s(response.headers, asked_at, received_at)
    if not storage.vary:
        return fresh, True
    # Another variant's request confirmed this one: what selects it stays as it was.
    names_now = tuple(name for name, _ in fresh.selecting)
    if names_now == tuple(name for name, _ in entry.selecting):
        fresh.selecting = entry.selecting
    return fresh, True


def _touched(
    entry: Entry, merged: Response, response: Response, asked_at: float, received_at: float
) -> Entry:
    """The same response, for one more answer only."""
    return replace(
        entry,
        head=merged.headers.packed,
        stored_at=received_at,
        initial_age_s=initial_age_s(response.headers, asked_at, received_at),
        lifetime_s=0.0,
    )


def joined(entry: Entry, response: Response) -> Response:
    """The whole response that a stored part and the 206 with its rest make (section 3.4).

    The body is still the rest alone.
    """
    assert entry.part is not None
    newer = response.headers.end_to_end().without({"age"})
    headers = together(entry.headers, newer, (0, entry.part[2], entry.part[2]))
    return Response(200, headers, response.body)
