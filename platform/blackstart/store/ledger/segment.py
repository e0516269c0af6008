"""A segment: a run of one writer's lines, from a header to an end, in a file or an object.

Header and end are lines like the others, so that the chain runs through them
and from each segment into the next one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any, Protocol

from blackstart.store.ledger.line import Line, Position, read_line, write_line
from blackstart.store.ledger.times import time_text

SUFFIX = ".jsonl"
VERSION = 1
_WRITER = r"[a-z0-9]+(?:-[a-z0-9]+)*"
_FILE = re.compile(rf"({_WRITER})\.(\d{{8}}){re.escape(SUFFIX)}")
_REST = re.compile(rf"({_WRITER})/(\d{{8}}){re.escape(SUFFIX)}")


class Entry(Protocol):
    """What a line of a ledger can hold."""

    def fields(self) -> Mapping[str, Any]:
        """As JSON has it; `seq`, `after` and `sum` are the line's own."""
        ...


@dataclass(frozen=True)
class Ledger:
    """Which ledger it is. `title` is for people, `mark` names it in headers and events.

    Segments lie under `prefix` in the object store. `refusal` is the hint for
    whoever could not write.
    """

    title: str
    mark: str
    prefix: str
    refusal: str

    def segment(self, writer: str, number: int) -> SegmentName:
        return SegmentName(writer, number, self)

    def of_file(self, name: str) -> SegmentName | None:
        """None for what is no segment's file."""
        match = _FILE.fullmatch(name)
        return None if match is None else self.segment(match[1], int(match[2]))

    def of_key(self, key: str) -> SegmentName | None:
        """None for what is no segment's key."""
        match = _REST.fullmatch(key.removeprefix(self.prefix))
        return None if match is None else self.segment(match[1], int(match[2]))


@dataclass(frozen=True, order=True)
class SegmentName:
    """Whose segment it is, and which; numbers count from 1."""

    writer: str
    number: int
    ledger: Ledger = field(compare=False, repr=False)

    @property
    def file(self) -> str:
        """Its file's name while it is kept locally."""
        return f"{self.writer}.{self.number:08}{SUFFIX}"

    @property
    def key(self) -> str:
        """Its key in the object store."""
        return f"{self.ledger.prefix}{self.writer}/{self.number:08}{SUFFIX}"

    @property
    def next(self) -> SegmentName:
        return self.ledger.segment(self.writer, self.number + 1)

    def __str__(self) -> str:
        return f"segment {self.number} of {self.writer}"


def header(name: SegmentName, at: datetime, last: Position) -> tuple[bytes, Position]:
    """The first line of a segment; `last` is where the segment before ended."""
    fields = {
        name.ledger.mark: VERSION,
        "writer": name.writer,
        "segment": name.number,
        "at": time_text(at),
    }
    return write_line(fields, last)


def entries(records: Sequence[Entry], last: Position) -> tuple[bytes, Position]:
    """Records as lines."""
    lines = []
    for record in records:
        line, last = write_line(record.fields(), last)
        lines.append(line)
    return b"".join(lines), last


def end(last: Position) -> tuple[bytes, Position]:
    """The last line of a segment that takes no more."""
    return write_line({"end": True}, last)


def is_header(line: Line, name: SegmentName) -> bool:
    """Whether it is this segment's first line, in a version that we read."""
    found = [line.fields.get(key) for key in (name.ledger.mark, "writer", "segment")]
    return found == [VERSION, name.writer, name.number]


def is_end(line: Line) -> bool:
    return line.fields.get("end") is True


@dataclass(frozen=True)
class SegmentText:
    """A segment as read: what can be believed line by line, and what cannot.

    `lines` and `damaged` go by the line's place in the text, from 1. `torn` are
    the bytes after the last newline, `size` counts those up to it.
    """

    name: SegmentName
    lines: dict[int, Line]
    damaged: dict[int, str]
    torn: bytes
    size: int

    @property
    def headed(self) -> bool:
        return 1 in self.lines and is_header(self.lines[1], self.name)

    @property
    def ended(self) -> bool:
        """Whether it was closed; an open one takes more lines."""
        return bool(self.lines) and is_end(self.lines[max(self.lines)])

    @property
    def sound(self) -> bool:
        """Whether it is an unbroken chain from its header on; it may be torn at its end."""
        lines = list(self.lines.values())
        return (
            self.headed
            and not self.damaged
            and all(follows(*pair) for pair in pairwise(lines))
            and not any(is_end(line) for line in lines[:-1])
        )

    @property
    def last(self) -> Position | None:
        """The position of its last readable line by number; None when there is none."""
        return max(
            (line.position for line in self.lines.values()), key=lambda at: at.seq, default=None
        )

    @property
    def record_count(self) -> int:
        """How many of its readable lines are records."""
        lines = self.lines.values()
        return sum(not is_end(line) and not is_header(line, self.name) for line in lines)


def follows(before: Line, line: Line) -> bool:
    """Whether a line is the next one in the chain."""
    return line.position.seq == before.position.seq + 1 and line.after == before.position.sum


def read_segment(name: SegmentName, data: bytes) -> SegmentText:
    """Take a segment's bytes apart; nothing in them makes this fail."""
    *whole, torn = data.split(b"\n")
    lines: dict[int, Line] = {}
    damaged: dict[int, str] = {}
    for place, raw in enumerate(whole, start=1):
        try:
            lines[place] = read_line(raw)
        except (ValueError, RecursionError) as error:
            damaged[place] = str(error)
    return SegmentText(name, lines, damaged, torn, len(data) - len(torn))
