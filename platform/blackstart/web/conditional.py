"""Conditional and range requests: what the client has already, and which part it wants."""

from __future__ import annotations

import re
from dataclasses import dataclass

# No file has a size of 19 digits, and Python refuses to read a number of thousands of them.
_ONE_RANGE = re.compile(r"^bytes=([0-9]{0,18})-([0-9]{0,18})$")


def etag_matches(if_none_match: str, etag: str) -> bool:
    """Weak comparison of an If-None-Match field with our ETag (RFC 9110 section 13.1.2)."""
    if if_none_match.strip() == "*":
        return True
    candidates = (candidate.strip() for candidate in if_none_match.split(","))
    return any(candidate.removeprefix("W/") == etag for candidate in candidates)


@dataclass(frozen=True)
class ByteRange:
    """Bytes `start` to `end`, exclusive; `start` equal to `end` cannot be satisfied."""

    start: int
    end: int


def parse_range(value: str, size: int) -> ByteRange | None:
    """One byte range of a file of `size` bytes (RFC 9110 section 14.1.2).

    None means: ignore the field and send everything, which is right for a
    malformed field and allowed for several ranges.
    """
    match = _ONE_RANGE.match(value.strip())
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        start = max(0, size - int(match[2]))
        return ByteRange(start, size) if int(match[2]) > 0 and size > 0 else ByteRange(0, 0)
    start = int(match[1])
    end = size if match[2] == "" else min(size, int(match[2]) + 1)
    if match[2] != "" and int(match[2]) < start:
        return None
    return ByteRange(start, end) if start < size else ByteRange(0, 0)
