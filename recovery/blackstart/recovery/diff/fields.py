"""Which fields of a document differ, by dotted path.

Sub-documents are looked into, arrays are one value. The order of fields counts
inside sub-documents, which MongoDB compares with it, and not in the document
itself, which is never compared as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from blackstart.recovery.diff.elements import Element, Fields, elements


class Kind(StrEnum):
    """What became of a document or a field on the way from the one side to the other."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    REORDERED = "reordered"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field: its value on either side, None where it is not there."""

    path: str
    kind: Kind
    before: Element | None
    after: Element | None

    def as_row(self) -> dict[str, Any]:
        """As JSON; a side that lacks the field has no key."""
        row: dict[str, Any] = {"path": self.path, "change": self.kind.value}
        if self.before is not None:
            row["before"] = self.before.as_json()
        if self.after is not None:
            row["after"] = self.after.as_json()
        return row


def field_changes(before: bytes, after: bytes) -> list[FieldChange]:
    """What differs between two documents. Raises: ValueError for what is no BSON."""
    return list(_changes(elements(before), elements(after), ""))


def _changes(before: Fields, after: Fields, prefix: str) -> Iterator[FieldChange]:
    for name, was in before.items():
        path = prefix + name
        now = after.get(name)
        if now is None:
            yield FieldChange(path, Kind.REMOVED, was, None)
        elif was != now:
            yield from _change(path, was, now)
    for name, now in after.items():
        if name not in before:
            yield FieldChange(prefix + name, Kind.ADDED, None, now)


def _change(path: str, was: Element, now: Element) -> Iterator[FieldChange]:
    if not (was.is_document and now.is_document):
        yield FieldChange(path, Kind.CHANGED, was, now)
        return
    before, after = elements(was.data), elements(now.data)
    if [name for name in before if name in after] != [name for name in after if name in before]:
        yield FieldChange(path, Kind.REORDERED, was, now)
    yield from _changes(before, after, f"{path}.")
