"""Follows one writer's chain through its segments, and names each place where it does not hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from blackstart.store.ledger.line import START, Line
from blackstart.store.ledger.problems import LogProblem, ProblemKind
from blackstart.store.ledger.segment import SegmentName, SegmentText, is_end, is_header

NAMED_LINES = 10
"""Damaged lines of one segment that are named one by one; the others are counted."""


Record = TypeVar("Record")
Decode = Callable[[SegmentName, Line], Record]
"""Makes a record of a line. Raises: ValueError when it is none."""


@dataclass
class _Place:
    """A readable line, and how many damaged ones stand behind it so far."""

    line: Line
    damaged_since: int = 0


class Chain(Generic[Record]):
    """Takes a writer's segments in order; gives back their records and tells of problems."""

    def __init__(
        self,
        report: Callable[[LogProblem], None],
        decode: Decode[Record],
        *,
        all_listed: bool = True,
    ) -> None:
        self._report = report
        self._decode = decode
        self._before: _Place | None = None
        self._number = 0
        # What lies before a segment is no news when it could not be looked at.
        self._unknown = not all_listed

    def unreadable(self, name: SegmentName, why: str) -> None:
        """A segment that is there and cannot be read now."""
        self._tell(ProblemKind.UNREADABLE, name, f"{name} could not be read: {why}")
        self._number = name.number
        self._unknown = True

    def read(self, text: SegmentText, *, open_end: bool, being_written: bool) -> list[Record]:
        """The records of the next segment, all that can be believed, by number.

        `open_end` says that it need not be closed, `being_written` that its
        last line may be on its way.
        """
        lines = self._in_order(text)
        linked = self._check_number(text.name, lines[0][1] if lines else None)
        self._tell_damaged(text)
        self._check_frame(text, open_end=open_end, being_written=being_written)
        records: list[Record] = []
        for place, line in lines:
            if linked:
                self._check_link(text, place, line)
            self._before, linked = _Place(line), True
            records += self._record(text.name, place, line)
        if self._before is not None:
            self._before.damaged_since += _damaged_behind(text)
        return records

    def _check_number(self, name: SegmentName, line: Line | None) -> bool:
        """Whether this is the segment that follows; its first line must then follow too."""
        first, last = self._number + 1, name.number - 1
        self._number = name.number
        unknown, self._unknown = self._unknown, False
        if unknown or first > last:
            return not unknown
        which = f"segment {first} is" if first == last else f"segments {first} to {last} are"
        what = f"{which} missing from {name.writer}"
        if line is not None:
            seq = self._before.line.position.seq if self._before else 0
            what += f" (numbers {seq + 1} to {line.position.seq - 1})"
        self._tell(ProblemKind.MISSING_SEGMENT, name, what)
        return False

    def _tell_damaged(self, text: SegmentText) -> None:
        for place in list(text.damaged)[:NAMED_LINES]:
            what = f"line {place} of {text.name} is damaged: {text.damaged[place]}"
            self._tell(ProblemKind.DAMAGED_LINE, text.name, what)
        if (more := len(text.damaged) - NAMED_LINES) > 0:
            what = f"{more} more lines of {text.name} are damaged"
            self._tell(ProblemKind.DAMAGED_LINE, text.name, what)

    def _check_frame(self, text: SegmentText, *, open_end: bool, being_written: bool) -> None:
        name = text.name
        if not text.headed and 1 not in text.damaged and not (open_end and not text.lines):
            self._tell(ProblemKind.BROKEN_CHAIN, name, f"{name} does not begin with its header")
        if open_end and not text.ended:
            if text.torn and not being_written:
                what = f"the last line of {name} is torn ({len(text.torn)} bytes)"
                what += ": it was never acknowledged"
                self._tell(ProblemKind.TORN_LINE, name, what)
        elif text.torn:
            what = f"{name} ends in the middle of a line"
            self._tell(ProblemKind.CUT_SHORT, name, what)
        elif not text.ended and not text.damaged:
            self._tell(ProblemKind.CUT_SHORT, name, f"{name} ends without its last line")

    def _in_order(self, text: SegmentText) -> list[tuple[int, Line]]:
        """Lines by number, each once; those that stand in another place are told."""
        highest: Line | None = None
        for place, line in text.lines.items():
            if highest is not None and line.position.seq <= highest.position.seq:
                what = f"line {place} of {text.name} (number {line.position.seq}) is out of place"
                self._tell(ProblemKind.MISPLACED_LINE, text.name, what)
            else:
                highest = line
        unique = {line.position: (place, line) for place, line in reversed(text.lines.items())}
        return sorted(unique.values(), key=lambda each: (each[1].position.seq, each[0]))

    def _check_link(self, text: SegmentText, place: int, line: Line) -> None:
        before = self._before
        last = before.line.position if before else START
        missing = line.position.seq - last.seq - 1
        damaged = (before.damaged_since if before else 0) + _damaged_before(text, place)
        where = f"line {place} of {text.name}"
        if missing > damaged:
            lost = missing - damaged
            count = "a line is" if lost == 1 else f"{lost} lines are"
            what = f"{count} missing before {where}, behind number {last.seq}"
            self._tell(ProblemKind.MISSING_LINES, text.name, what)
        elif missing < 0 or (missing == 0 and line.after != last.sum):
            what = f"{where} does not follow number {last.seq}: one of them was replaced"
            self._tell(ProblemKind.BROKEN_CHAIN, text.name, what)

    def _record(self, name: SegmentName, place: int, line: Line) -> Sequence[Record]:
        if (place == 1 and is_header(line, name)) or is_end(line):
            return []
        try:
            return [self._decode(name, line)]
        except ValueError as error:
            what = f"line {place} of {name} is no record: {error}"
            self._tell(ProblemKind.NOT_A_RECORD, name, what)
            return []

    def _tell(self, kind: ProblemKind, name: SegmentName, text: str) -> None:
        self._report(LogProblem(kind, text, name.writer, name.number))


def _damaged_before(text: SegmentText, place: int) -> int:
    """How many damaged lines stand right before a readable one."""
    start = max((other for other in text.lines if other < place), default=0)
    return sum(start < damaged < place for damaged in text.damaged)


def _damaged_behind(text: SegmentText) -> int:
    """How many damaged lines stand behind the last readable one."""
    last = max(text.lines, default=0)
    return sum(damaged > last for damaged in text.damaged)
