"""Conditional requests: whether a visitor already holds what a node would send (RFC 9110)."""

from __future__ import annotations

import re

from blackstart.cdn.message import Headers

# The fields a 304 must carry when the 200 would have (RFC 9110 section 15.4.5), and our own.
NOT_MODIFIED_FIELDS = frozenset(
    {
        "age",
        "cache-control",
        "cache-status",
        "cache-tag",
        "content-location",
        "date",
        "etag",
        "expires",
        "last-modified",
        "vary",
    }
)
# What a node answers for itself, so that the origin always sends it the whole page.
VISITOR_CONDITIONS = frozenset({"if-none-match", "if-modified-since"})

_ENTITY_TAG = re.compile(r'(?:W/)?"([^"]*)"')


def is_not_modified(request: Headers, response: Headers) -> bool:
    """Whether the visitor's validators match a 200 response that has these headers.

    Entity tags compare weakly (RFC 9110 section 13.1.2). A date matches when it
    is the very one sent before: that is always safe and needs no clock.
    """
    asked = request.joined("if-none-match")
    if asked is not None:
        return _matches(asked, response.get("etag"))
    since = request.get("if-modified-since")
    return since is not None and since == response.get("last-modified")


def same_tag(left: str, right: str) -> bool:
    """Whether two entity tags are the same under weak comparison."""
    return left.removeprefix("W/") == right.removeprefix("W/")


def not_modified_headers(headers: Headers) -> Headers:
    """The fields of a 200 that belong on the 304 standing in for it."""
    return Headers.trusted(tuple([pair for pair in headers if pair[0] in NOT_MODIFIED_FIELDS]))


def _matches(asked: str, etag: str | None) -> bool:
    if asked.strip() == "*":
        return True
    if etag is None:
        return False
    held = _ENTITY_TAG.fullmatch(etag.strip())
    return held is not None and held.group(1) in _ENTITY_TAG.findall(asked)
