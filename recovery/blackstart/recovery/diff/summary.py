"""How much differs: documents by collection, fields by path, and what could not be compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from blackstart.recovery.diff.fields import FieldChange, Kind

PATHS = 2_000
"""A collection may have a path for each of its documents: those beyond are counted together."""
OTHERS = "(others)"

Counts = Counter[Kind]


@dataclass
class Summary:
    """Counts by collection, and by collection and path; paths are those of changed documents."""

    documents: dict[str, Counts] = field(default_factory=dict)
    fields: dict[tuple[str, str], Counts] = field(default_factory=dict)
    uncompared: Counter[str] = field(default_factory=Counter)

    def add(self, collection: str, kind: Kind, changes: Iterable[FieldChange] = ()) -> None:
        """One document that differs, and its fields."""
        self.documents.setdefault(collection, Counter())[kind] += 1
        for change in changes:
            place = (collection, change.path)
            if place not in self.fields and len(self.fields) >= PATHS:
                place = (collection, OTHERS)
            self.fields.setdefault(place, Counter())[change.kind] += 1

    def count(self, kind: Kind | None = None) -> int:
        """How many documents differ, all or in one way."""
        counts = self.documents.values()
        return sum(each.total() if kind is None else each[kind] for each in counts)

    def most_first(self) -> list[tuple[str, str, Counts]]:
        """Collection, path and counts of the fields; those that most documents share come first."""
        rows = [(collection, path, each) for (collection, path), each in self.fields.items()]
        return sorted(rows, key=lambda row: (-row[2].total(), row[0], row[1]))

    def as_row(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "documents": {name: _plain(each) for name, each in sorted(self.documents.items())},
            "fields": [
                {"collection": collection, "path": path, **_plain(each)}
                for collection, path, each in self.most_first()
            ],
            "uncompared": dict(sorted(self.uncompared.items())),
        }


def _plain(counts: Counts) -> dict[str, int]:
    return {kind.value: counts[kind] for kind in Kind if counts[kind]}
