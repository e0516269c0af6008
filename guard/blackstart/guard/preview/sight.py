"""What a preview is worked out with: reads of the database, the time, and what people may see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from blackstart.guard.plain import without_values
from blackstart.guard.preview.model import shown
from blackstart.guard.preview.reads import Reads
from blackstart.guard.redact import Redaction


@dataclass(frozen=True)
class Sight:
    """Everything that leaves it as text has lost the values that are to be left out."""

    reads: Reads
    redact: Redaction
    now: datetime

    def text(self, value: object, path: str = "") -> str:
        """A value that stands at a path, in a line."""
        return shown(self.redact.value(value, path))

    def fields(self, document: Mapping[str, Any]) -> dict[str, str]:
        """A whole document, field by field, without its id."""
        return {key: self.text(value, key) for key, value in document.items() if key != "_id"}

    def both(
        self, before: Mapping[str, Any], after: Mapping[str, Any], names: set[str]
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Those fields of a document before and after a change."""
        first, second = self.redact.both(before, after)
        return _lines(first, names), _lines(second, names)

    def id(self, document: Mapping[str, Any]) -> str:
        value = self.redact.value(document.get("_id"), "_id")
        return value if isinstance(value, str) else shown(value)

    def paths(self, counts: Mapping[str, int]) -> dict[str, int]:
        """Counts by path, in order; what is left out counts as the most of what lies in it."""
        found: dict[str, int] = {}
        for path in sorted(counts):
            told = self.redact.path(path)
            found[told] = max(found.get(told, 0), counts[path])
        return found

    @staticmethod
    def error(error: Exception) -> str:
        return without_values(str(error))


def _lines(document: Mapping[str, Any], names: set[str]) -> dict[str, str]:
    return {key: shown(value) for key, value in document.items() if key in names}
