"""Byte ranges: Range and Content-Range (RFC 9110 section 14)."""

from __future__ import annotations

import itertools
import re

MAX_RANGES = 16
"""More ranges than this in one request are an attack on bandwidth, and ignored."""

_SPEC = re.compile(r"(\d*)-(\d*)", re.ASCII)
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)", re.ASCII | re.IGNORECASE)
_MAX_DIGITS = 18

Part = tuple[int, int]
"""First byte, and the byte after the last."""


def parse_range(field: str, size: int) -> list[Part] | None:
    """The parts of `size` bytes that a Range field asks for, in its order.

    An empty list: none can be satisfied. None: the field is to be ignored, as
    it is malformed, not in bytes, or asks for more than anyone needs: too many
    ranges, or ranges that overlap (section 14.2 allows to refuse those).
    """
    unit, equals, text = field.partition("=")
    if not equals or unit.strip().lower() != "bytes":
        return None
    parts: list[Part] = []
    specs = [spec.strip() for spec in text.split(",") if spec.strip()]
    if not specs or len(specs) > MAX_RANGES:
        return None
    for spec in specs:
        part = _part(spec, size)
        if part is None:
            return None
        if part[0] < part[1]:
            parts.append(part)
    ordered = sorted(parts)
    if any(left[1] > right[0] for left, right in itertools.pairwise(ordered)):
        return None
    return parts


def is_excessive(field: str) -> bool:
    """Whether a Range field in bytes would be ignored, whatever it is asked of."""
    unit = field.partition("=")[0].strip().lower()
    return unit == "bytes" and parse_range(field, 10**_MAX_DIGITS) is None


def _part(spec: str, size: int) -> Part | None:
    """One range; empty when it lies beyond the end, None when it is malformed."""
    found = _SPEC.fullmatch(spec)
    if found is None:
        return None
    first, last = found[1], found[2]
    if len(first) > _MAX_DIGITS or len(last) > _MAX_DIGITS or not (first or last):
        return None
    if not first:  # The last so many bytes.
        return max(0, size - int(last)), size
    if last and int(last) < int(first):
        return None
    end = min(int(last) + 1, size) if last else size
    return int(first), end


def parse_content_range(field: str) -> tuple[int, int, int] | None:
    """First byte, byte after the last and complete length; None when not all are known."""
    found = _CONTENT_RANGE.fullmatch(field.strip())
    if found is None or found[3] == "*" or max(map(len, found.groups())) > _MAX_DIGITS:
        return None
    first, last, size = int(found[1]), int(found[2]), int(found[3])
    return (first, last + 1, size) if first <= last < size else None


def lacks(part: tuple[int, int, int]) -> Part | None:
    """What makes a part of a complete length whole, if that is one other part."""
    first, end, size = part
    if first == 0:
        return (end, size) if end < size else None
    return (0, first) if end == size else None


def content_range(part: Part, size: int) -> str:
    """The Content-Range value for one part."""
    return f"bytes {part[0]}-{part[1] - 1}/{size}"
