"""A segment: a run of one writer's lines, from a header to an end, in a file or an object.

Header and end are lines like the others, so that the chain runs through them
and from each segment into the next one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Self

from blackstart.store.pointers.line import Line, Position, read_line, write_line
from blackstart.store.pointers.record import PointerRecord, time_text

PREFIX = "pointer-log/"
"""Where segments lie in the object store."""

SUFFIX = ".jsonl"
VERSION = 1
_WRITER = r"[a-z0-9]+(?:-[a-z0-9]+)*"
_FILE = re.compile(rf"({_WRITER})\.(\d{{8}}){re.escape(SUFFIX)}")
_KEY = re.compile(rf"{re.escape(PREFIX)}({_WRITER})/(\d{{8}}){re.escape(SUFFIX)}")


@dataclass(frozen=True, order=True)
class SegmentName:
    """Whose segment it is, and which; numbers count from 1."""

    writer: str
    number: int

    @property
    def file(self) -> str:
        """Its file's name while it is kept locally."""
        return f"{self.writer}.{self.number:08}{SUFFIX}"

    @property
    def key(self) -> str:
        """Its key in the object store."""
        return f"{PREFIX}{self.writer}/{self.number:08}{SUFFIX}"

    @property
    def next(self) -> SegmentName:
        return SegmentName(self.writer, self.number + 1)

    @classmethod
    def of_file(cls, name: str) -> Self | None:
        """None for what is no segment's file."""
        return cls._match(_FILE.fullmatch(name))

    @classmethod
    def of_key(cls, key: str) -> Self | None:
        """None for what is no segment's key."""
        return cls._match(_KEY.fullmatch(key))

    @classmethod
    def _match(cls, match: re.Match[str] | None) -> Self | None:
        return None if match is None else cls(match[1], int(match[2]))

    def __str__(self) -> str:
        return f"segment {self.number} of {self.writer}"


def header(name: SegmentName, at: datetime, last: Position) -> tuple[bytes, Position]:
    """The first line of a segment; `last` is where the segment before ended."""
    fields = {
        "pointer_log": VERSION,
        "writer": name.writer,
        "segment": name.number,
        "at": time_text(at),
    }
    return write_line(fields, last)


def entries(records: Sequence[PointerRecord], last: Position) -> tuple[bytes, Position]:
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
    found = [line.fields.get(key) for key in ("pointer_log", "writer", "segment")]
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
        return sum("tree" in line.fields for line in self.lines.values())


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
