"""What a filter says about `_id`: the few documents to read, or where to begin and to end.

Snapshots are sorted by `_id`, and their index is that of their chunks: so a
filter on `_id` reads one chunk for each value, or the chunks of a range.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bson import MaxKey, MinKey, ObjectId, Regex

from blackstart.recovery.mount.filters import is_operators
from blackstart.recovery.snapshots.order import Key, id_key

_MAX_POINTS = 1_000
_LOWEST: dict[int, Any] = {2: float("nan"), 3: "", 7: ObjectId(b"\0" * 12)}
"""Where each type of `_id` begins, by its place in BSON's order."""


@dataclass(frozen=True)
class Span:
    """Which `_id`s can match at all: those of `points`, or from `start` on up to `last`.

    `last` is a key; a key that begins with it, and is longer, still belongs to the span.
    """

    points: tuple[Any, ...] | None = None
    start: Any = None
    last: Key | None = None

    @property
    def is_all(self) -> bool:
        return self.points is None and self.start is None and self.last is None

    def ends_before(self, key: Key) -> bool:
        """Whether a document with this key, and all after it, lie beyond."""
        return self.last is not None and key[: len(self.last)] > self.last


def span_of(spec: Mapping[str, Any]) -> Span:
    """The narrowest span that one condition on `_id` gives; others are left to the filter."""
    asked = list(_on_id(spec))
    for operator, value in asked:
        if operator == "=":
            return Span(points=(value,))
        if operator == "$in" and isinstance(value, list) and len(value) <= _MAX_POINTS:
            return Span(points=_distinct(value))
    return _range(asked)


def _on_id(spec: Mapping[str, Any]) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in spec.items():
        if key == "$and":
            for each in value:
                found += _on_id(each)
        elif key == "_id":
            found += _conditions(value)
    return [(operator, value) for operator, value in found if not _has_pattern(value)]


def _conditions(value: Any) -> list[tuple[str, Any]]:
    if not (isinstance(value, Mapping) and is_operators(value)):
        return [("=", value)]
    return [("=" if operator == "$eq" else operator, each) for operator, each in value.items()]


def _has_pattern(value: Any) -> bool:
    each = value if isinstance(value, list) else [value]
    return any(isinstance(one, Regex) for one in each)


def _distinct(values: list[Any]) -> tuple[Any, ...]:
    """In `_id`s' order, each once: the order in which a scan would find them."""
    by_key = {id_key(value): value for value in values}
    return tuple(by_key[key] for key in sorted(by_key))


def _range(asked: list[tuple[str, Any]]) -> Span:
    """Comparisons stay within one type, so one bound gives the other's type."""
    lower = _bound(asked, ("$gt", "$gte"))
    upper = _bound(asked, ("$lt", "$lte"))
    if lower is None and upper is None:
        return Span()
    either = lower if lower is not None else upper
    kind = id_key(either)[:1]
    start = lower if lower is not None else _LOWEST.get(kind[0])
    return Span(start=start, last=id_key(upper) if upper is not None else kind)


def _bound(asked: list[tuple[str, Any]], operators: tuple[str, str]) -> Any:
    """One bound of many is right: the filter sees to the others."""
    for operator, value in asked:
        if operator in operators and value is not None and not isinstance(value, (MinKey, MaxKey)):
            return value
    return None
