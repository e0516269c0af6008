"""Stored parts of one page, and what two of them make together (RFC 9111 section 3.4)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from blackstart.cdn.fields.ranges import content_range
from blackstart.cdn.fields.validators import etag_of, is_strong
from blackstart.cdn.message import Headers, Request, Response
from blackstart.cdn.storage.entry import Entry, Part

LARGEST_BYTES = 1024 * 1024
"""Parts that would be longer together stay apart: to join them costs more than it saves."""

_ABOUT_PLACE = frozenset({"content-length", "content-range"})


def page_of(request: Request, response: Response, part: Part | None) -> Response | None:
    """The page that a part turned out to be, where it was asked for and is all there is.

    RFC 9110 section 15.3.7: it is the same as a 200.
    """
    if part is None or "range" not in request.headers or part[:2] != (0, part[2]):
        return None
    return Response(200, together(Headers(), response.headers, part), response.body)


def partner_of(entry: Entry, stored: Iterable[Entry]) -> Entry | None:
    """A stored part that meets or overlaps this one, and is of the same version."""
    etag = etag_of(entry.headers)
    if entry.part is None or etag is None or not is_strong(etag):
        return None
    for other in stored:
        if (
            other is not entry
            and not other.stale
            and (other.selecting, other.rules) == (entry.selecting, entry.rules)
            and etag_of(other.headers) == etag
            and _meet(entry.part, other.part)
        ):
            return other
    return None


def joint(newer: Entry, older: Entry) -> Entry:
    """What two parts are together: the fields and the lifetime are those of the newer one."""
    assert newer.part is not None and older.part is not None
    first, end, size = _over(newer.part, older.part)
    is_whole = (first, end) == (0, size)
    part = None if is_whole else (first, end, size)
    headers = together(older.headers, newer.headers, (first, end, size))
    return replace(
        newer,
        status=200 if is_whole else 206,
        head=headers.packed,
        size=end - first,
        part=part,
    )


def joint_body(newer: Entry, older: Entry, new: bytes, old: bytes) -> bytes:
    """The bytes of both, each once; where they overlap those of the part that begins first."""
    assert newer.part is not None and older.part is not None
    if older.part[0] < newer.part[0]:
        return _chain(older.part, newer.part, old, new)
    return _chain(newer.part, older.part, new, old)


def together(older: Headers, newer: Headers, part: Part) -> Headers:
    """The fields of both, of which the newer ones win, for a part or for the whole."""
    first, end, size = part
    fields = newer.without(_ABOUT_PLACE)
    kept = older.without({name for name, _ in fields} | _ABOUT_PLACE)
    place: tuple[tuple[str, str], ...] = (("content-length", str(end - first)),)
    if (first, end) != (0, size):
        place = (("content-range", content_range((first, end), size)), *place)
    return Headers.trusted((*kept.pairs, *fields.pairs, *place))


def _meet(one: Part, other: Part | None) -> bool:
    if other is None or one[2] != other[2]:
        return False
    first, end, _ = _over(one, other)
    return one[0] <= other[1] and other[0] <= one[1] and end - first <= LARGEST_BYTES


def _over(one: Part, other: Part) -> Part:
    return min(one[0], other[0]), max(one[1], other[1]), one[2]


def _chain(left: Part, right: Part, first: bytes, second: bytes) -> bytes:
    return first + second[left[1] - right[0] :] if left[1] < right[1] else first
