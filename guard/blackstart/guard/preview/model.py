"""What a reviewer is shown before deciding: plain values, which a request keeps on the disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bson import json_util
from pydantic import TypeAdapter

VALUE_CHARACTERS = 300
GONE = "would be gone"
_JSON = json_util.RELAXED_JSON_OPTIONS


@dataclass(frozen=True)
class Sample:
    """One document: its changing fields before and after, as texts.

    `after` is None for a document that would be gone, and where it cannot be foreseen;
    `note` says which.
    """

    id: str
    before: Mapping[str, str]
    after: Mapping[str, str] | None
    note: str = ""

    @property
    def is_gone(self) -> bool:
        return self.after is None and self.note == GONE


@dataclass(frozen=True)
class Part:
    """What one statement, or one structural command, would do.

    `matched` documents of `total`; None where that could not be counted.
    `looked_at` of them were read and worked out: `set`, `unset` and `replaced`
    count documents by path, `dropped` those that lose a field which nobody
    asked to remove. `warnings` are what a reviewer must not miss, `notes` the rest.
    """

    what: str
    namespace: str
    matched: int | None = None
    total: int | None = None
    looked_at: int = 0
    set: Mapping[str, int] = field(default_factory=dict)
    unset: Mapping[str, int] = field(default_factory=dict)
    replaced: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    samples: tuple[Sample, ...] = ()

    @property
    def percent(self) -> float | None:
        """Of the collection's documents those that match."""
        if self.matched is None or not self.total:
            return None
        return 100.0 * min(self.matched, self.total) / self.total


@dataclass(frozen=True)
class Preview:
    """All parts of a held write. It promises nothing: the data may change until it runs."""

    parts: tuple[Part, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(warning for part in self.parts for warning in part.warnings)

    def row(self) -> dict[str, Any]:
        """As JSON has it."""
        found: dict[str, Any] = _PREVIEW.dump_python(self, mode="json")
        return found

    @classmethod
    def of_row(cls, row: object) -> Preview:
        """Raises: ValueError for what is none."""
        return _PREVIEW.validate_python(row)

    def lines(self) -> list[str]:
        """For a terminal, a channel or a page."""
        lines = [line for part in self.parts for line in _lines(part)]
        return lines + [f"  {note}" for note in self.notes]


_PREVIEW = TypeAdapter(Preview)


def shown(value: object) -> str:
    """A value as text, cut where it gets long."""
    text = json_util.dumps(value, json_options=_JSON, ensure_ascii=False)
    return text if len(text) <= VALUE_CHARACTERS else f"{text[:VALUE_CHARACTERS]} ..."


def _lines(part: Part) -> list[str]:
    lines = [f"{part.what} on {part.namespace}{_extent(part)}"]
    lines += [f"  ! {warning}" for warning in part.warnings]
    for name in ("set", "unset", "replaced"):
        counts: Mapping[str, int] = getattr(part, name)
        if counts:
            paths = ", ".join(f"{path} ({count})" for path, count in counts.items())
            lines.append(f"  {name}: {paths}, of {part.looked_at} looked at")
    lines += [f"  {note}" for note in part.notes]
    for sample in part.samples:
        lines += _sample_lines(sample)
    return lines


def _extent(part: Part) -> str:
    if part.matched is None:
        return ""
    percent = "" if part.percent is None else f" ({part.percent:.1f} % of {part.total})"
    return f": {part.matched} documents{percent}"


def _sample_lines(sample: Sample) -> list[str]:
    lines = [f"  {sample.id}{f': {sample.note}' if sample.note else ''}"]
    after = sample.after
    for path, text in sample.before.items():
        lines.append(f"    - {path}: {text}")
        if after is not None and path in after:
            lines.append(f"    + {path}: {after[path]}")
    new = {} if after is None else {key: after[key] for key in after if key not in sample.before}
    return lines + [f"    + {path}: {text}" for path, text in new.items()]
