"""JSON as people read it: on one line where it fits, else one field a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


def compact(value: Any, width: int) -> str:
    """Lines of at most `width` characters, but for single values that are longer."""
    return "\n".join(_lines(value, width, "", ""))


def _lines(value: Any, width: int, before: str, indent: str) -> Iterator[str]:
    whole = f"{before}{json.dumps(value, ensure_ascii=False)}"
    if len(whole) <= width or not isinstance(value, (dict, list)) or not value:
        yield whole
        return
    inner = f"{indent}  "
    first, last = "{}" if isinstance(value, dict) else "[]"
    yield f"{before}{first}"
    named = value.items() if isinstance(value, dict) else (("", each) for each in value)
    for left, (name, each) in zip(range(len(value) - 1, -1, -1), named, strict=True):
        key = f"{json.dumps(name, ensure_ascii=False)}: " if isinstance(value, dict) else ""
        *lines, end = _lines(each, width - 1, f"{inner}{key}", inner)
        yield from lines
        yield f"{end}," if left else end
    yield f"{indent}{last}"
