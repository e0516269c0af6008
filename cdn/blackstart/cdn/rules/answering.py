"""What of a response a visitor gets: all, its fields, a part, or that nothing changed.

RFC 9110 sections 13.2 and 14.2, RFC 9111 section 4.3.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from blackstart.cdn.fields.dates import parse_date
from blackstart.cdn.fields.ranges import Part, content_range, parse_range
from blackstart.cdn.fields.validators import etag_of, lists, range_applies
from blackstart.cdn.message import Headers, Request

# The fields a 304 must carry when the 200 would have (RFC 9110 section 15.4.5), and a cache's own.
NOT_MODIFIED_FIELDS = frozenset(
    {
        "age",
        "cache-control",
        "cache-status",
        "cache-tag",
        "cdn-cache-control",
        "content-location",
        "date",
        "etag",
        "expires",
        "last-modified",
        "set-cookie",
        "vary",
    }
)
_ABOUT_BYTES = frozenset({"content-length", "content-range", "content-type"})


@dataclass(frozen=True, slots=True)
class Whole:
    """The response as it is."""


@dataclass(frozen=True, slots=True)
class NotModified:
    """304: the visitor holds it already."""


@dataclass(frozen=True, slots=True)
class Parts:
    """206: these parts of it."""

    parts: Sequence[Part]


@dataclass(frozen=True, slots=True)
class NoSuchPart:
    """416: it has none of the parts asked for."""


Shape = Whole | NotModified | Parts | NoSuchPart

WHOLE = Whole()
NOT_MODIFIED = NotModified()


def shape_of(
    request: Request, status: int, headers: Headers, size: int | None, received_at: float
) -> Shape:
    """What of a response with `size` bytes (None: not known yet) this request asks for.

    Conditions are evaluated before ranges (RFC 9110 section 13.2.2).
    """
    if status not in (200, 206) or request.method not in ("GET", "HEAD"):
        return WHOLE
    asked = request.headers
    if _is_not_modified(asked, headers, received_at):
        return NOT_MODIFIED
    field = asked.joined("range")
    if field is None or request.method != "GET" or size is None:
        return WHOLE
    if_range = asked.get("if-range")
    if if_range is not None and not range_applies(if_range, headers):
        return WHOLE
    parts = parse_range(field, size)
    if parts is None:
        return WHOLE
    return Parts(parts) if parts else NoSuchPart()


def not_modified_headers(headers: Headers) -> Headers:
    """The fields of a 200 that belong on the 304 standing in for it."""
    return Headers.trusted(tuple([pair for pair in headers if pair[0] in NOT_MODIFIED_FIELDS]))


def part_headers(headers: Headers, part: Part, size: int) -> Headers:
    """The fields of a 206 with one part (RFC 9110 section 15.3.7.1)."""
    return headers.without({"content-length", "content-range"}).plus(
        ("content-range", content_range(part, size)),
        ("content-length", str(part[1] - part[0])),
    )


def no_such_part_headers(headers: Headers, size: int) -> Headers:
    """The fields of a 416 (RFC 9110 section 15.5.17)."""
    return headers.without(_ABOUT_BYTES).plus(
        ("content-range", f"bytes */{size}"), ("content-length", "0")
    )


def multipart(
    headers: Headers, parts: Sequence[Part], size: int, boundary: str
) -> tuple[Headers, list[bytes], bytes]:
    """A 206 with several parts: its fields, what precedes each part, and the end.

    See RFC 9110 section 14.6.
    """
    kind = headers.get("content-type")
    prefaces = []
    for index, part in enumerate(parts):
        lines = [f"--{boundary}"]
        if kind is not None:
            lines.append(f"Content-Type: {kind}")
        lines += [f"Content-Range: {content_range(part, size)}", "", ""]
        prefaces.append(("\r\n" if index else "").encode() + "\r\n".join(lines).encode("latin-1"))
    end = f"\r\n--{boundary}--\r\n".encode()
    length = sum(map(len, prefaces)) + sum(end - first for first, end in parts) + len(end)
    fields = headers.without(_ABOUT_BYTES).plus(
        ("content-type", f"multipart/byteranges; boundary={boundary}"),
        ("content-length", str(length)),
    )
    return fields, prefaces, end


def _is_not_modified(asked: Headers, headers: Headers, received_at: float) -> bool:
    """Whether the visitor's own validators match (RFC 9111 section 4.3.2)."""
    listed = asked.joined("if-none-match")
    if listed is not None:
        etag = etag_of(headers)
        return listed.strip() == "*" or (etag is not None and lists(listed, etag))
    since_s = parse_date(asked.joined("if-modified-since") or "")
    if since_s is None:
        return False
    modified_s = parse_date(headers.get("last-modified") or "")
    if modified_s is None:
        # Without a modification date the time at which it was made has to do.
        modified_s = parse_date(headers.get("date") or "")
    return (int(received_at) if modified_s is None else modified_s) <= since_s
