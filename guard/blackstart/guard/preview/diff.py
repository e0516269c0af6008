"""What differs between a document and what an update makes of it, by dotted path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Difference:
    """`dropped` are paths that are gone; `replaced` sub-documents of which some field is gone."""

    set: frozenset[str]
    dropped: frozenset[str]
    replaced: frozenset[str]

    @property
    def is_nothing(self) -> bool:
        return not (self.set or self.dropped)


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> Difference:
    """Compare field by field; lists are compared whole."""
    found = _Found(set(), set(), set())
    _compare(before, after, "", found)
    return Difference(frozenset(found.new), frozenset(found.gone), frozenset(found.whole))


@dataclass
class _Found:
    new: set[str]
    gone: set[str]
    whole: set[str]


def _compare(before: Mapping[str, Any], after: Mapping[str, Any], at: str, found: _Found) -> None:
    for key in after.keys() - before.keys():
        found.new.add(at + key)
    for key, old in before.items():
        path = at + key
        if key not in after:
            found.gone |= {path, *_leaves(old, path)}
            continue
        new = after[key]
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            _compare(old, new, f"{path}.", found)
            if old.keys() - new.keys():
                found.whole.add(path)
        elif type(old) is not type(new) or old != new:
            found.new.add(path)
            if isinstance(old, Mapping):
                found.whole.add(path)
                found.gone |= _leaves(old, path)


def _leaves(value: object, at: str) -> set[str]:
    """The paths of all fields below a value."""
    if not isinstance(value, Mapping):
        return set()
    below = {f"{at}.{key}" for key in value}
    return below.union(*(_leaves(inner, f"{at}.{key}") for key, inner in value.items()))


@dataclass
class Tally:
    """Differences of many documents, counted by path."""

    documents: int = 0
    changed: int = 0
    set: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    replaced: Counter[str] = field(default_factory=Counter)

    def add(self, found: Difference) -> None:
        self.documents += 1
        self.changed += not found.is_nothing
        self.set.update(found.set)
        self.dropped.update(found.dropped)
        self.replaced.update(found.replaced)
