"""Vary, and when two requests count as the same for it (RFC 9111 section 4.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from blackstart.cdn.fields.remembered import LONGEST_REMEMBERED, remembered
from blackstart.cdn.message import Headers

Selecting = tuple[tuple[str, str | None], ...]
"""For each field that Vary names, in order: what the request had, normalised; None when absent."""

# Lists whose members may come in any order, without regard to case (RFC 9110 section 12.5).
_PREFERENCES = frozenset({"accept", "accept-charset", "accept-encoding", "accept-language"})
# Not lists: a comma in these is just a comma.
_VERBATIM = frozenset(
    {"authorization", "cookie", "if-modified-since", "referer", "user-agent", "origin"}
)
# Split there and stripped: one expression with the white space around them would look at a
# long run of spaces again from each of its characters.
_BETWEEN = re.compile(r"([,;=])")
# Weights that say nothing, and digits of others that say nothing (RFC 9110 section 12.4.2).
_FULL_WEIGHT = re.compile(r";q=1(?:\.0{0,3})?(?=,|$)")
_WEIGHT = re.compile(r"(;q=0(?:\.\d{0,2}[1-9])?)\.?0{0,3}(?=,|$)")


def vary_of(headers: Headers) -> tuple[str, ...] | None:
    """The fields a response depends on, in lower case, sorted; None when `*` is among them."""
    value = headers.joined("vary")
    if value is None:
        return ()
    return _names(value)


@remembered(1024)
def _names(value: str) -> tuple[str, ...] | None:
    names = {name.strip().lower() for name in value.split(",")} - {""}
    return None if "*" in names else tuple(sorted(names))


def selecting(names: Iterable[str], request: Headers) -> Selecting:
    """What a request has in these fields."""
    return tuple([(name, _normal(name, request.joined(name))) for name in names])


def matches(stored: Selecting, request: Headers) -> bool:
    """Whether a response stored for one request fits another: all its fields are the same."""
    return all(_normal(name, request.joined(name)) == value for name, value in stored)


def _normal(name: str, value: str | None) -> str | None:
    """One form for values that mean the same.

    White space counts for nothing, nor do order, case and idle weights of preferences. A long
    value is taken as it is: it is compared with that of each variant, and whoever sends one of
    30,000 commas must neither have it taken apart each time, nor have it remembered.
    """
    if value is None or len(value) > LONGEST_REMEMBERED:
        return value
    return _remembered(name, value)


def _normalised(name: str, value: str) -> str:
    value = value.strip(" \t")
    if name in _VERBATIM or '"' in value:
        return value
    value = "".join([piece.strip(" \t") for piece in _BETWEEN.split(value)])
    if name in _PREFERENCES:
        value = _WEIGHT.sub(r"\1", _FULL_WEIGHT.sub("", value.lower()))
        members = {member for member in value.split(",") if member}
        return ",".join(sorted(members))
    return value


_remembered = lru_cache(maxsize=4096)(_normalised)
