"""Validators: entity tags and modification dates, and how they compare (RFC 9110 section 8.8)."""

from __future__ import annotations

import re

from blackstart.cdn.fields.dates import parse_date
from blackstart.cdn.message import Headers

_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_LISTED = re.compile(rf"(?<![^\s,]){_ETAG.pattern}")
# A modification date is strong when the response is younger: of two that were made in one
# second, and changed in it, one is as old as its modification (section 8.8.2.2).
STRONG_AFTER_S = 1.0


def etag_of(headers: Headers) -> str | None:
    """The entity tag as sent, also when it lacks its quotes; None when there is none."""
    value = headers.get("etag")
    return value.strip() if value is not None and value.strip() else None


def is_strong(etag: str) -> bool:
    """Whether a tag may stand for bytes (section 8.8.1)."""
    return not etag.startswith("W/") and _ETAG.fullmatch(etag) is not None


def same_weakly(left: str, right: str) -> bool:
    """Weak comparison (section 8.8.3.2)."""
    return left.removeprefix("W/") == right.removeprefix("W/")


def same_strongly(left: str, right: str) -> bool:
    """Strong comparison (section 8.8.3.2)."""
    return left == right and is_strong(left)


def lists(field: str, etag: str) -> bool:
    """Whether the If-None-Match list `field` has this tag, compared weakly, or is `*`."""
    if field.strip() == "*":
        return True
    found = _LISTED.findall(field)
    if not found:  # Some send a tag without its quotes, and get it back so.
        found = [member.strip() for member in field.split(",")]
    return any(same_weakly(candidate, etag) for candidate in found)


def strong_date(headers: Headers) -> str | None:
    """The Last-Modified value where it is a strong validator (section 8.8.2.2), else None."""
    modified, made = headers.get("last-modified"), headers.get("date")
    if modified is None or made is None:
        return None
    modified_s, made_s = parse_date(modified), parse_date(made)
    if modified_s is None or made_s is None or made_s - modified_s < STRONG_AFTER_S:
        return None
    return modified


def range_applies(if_range: str, headers: Headers) -> bool:
    """Whether a range may be taken of the response that If-Range names (section 13.1.5)."""
    if_range = if_range.strip()
    if if_range.startswith(('"', "W/")):
        return same_strongly(if_range, etag_of(headers) or "")
    modified = headers.get("last-modified")
    asked_s = parse_date(if_range)
    if asked_s is None or modified is None:
        # An entity tag without its quotes, sent back as it came.
        return etag_of(headers) == if_range
    return parse_date(modified) == asked_s and strong_date(headers) is not None
