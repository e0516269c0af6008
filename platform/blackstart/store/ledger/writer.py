"""One writer's segments on the local disk: appended, cut off where a crash tore them, closed.

Every method blocks and may raise OSError. Whatever failed before, the next
call finds its way: nothing that was done by halves is built upon.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from blackstart.store.ledger.disk import Disk, OpenFile
from blackstart.store.ledger.heads import Head
from blackstart.store.ledger.line import Position
from blackstart.store.ledger.segment import (
    Entry,
    Ledger,
    SegmentName,
    SegmentText,
    end,
    entries,
    header,
    read_segment,
)


@dataclass(frozen=True)
class Finding:
    """Something that a crash or a bad disk left, and that was mended.

    `what` is `torn` (bytes behind the last whole line were dropped), `damaged`
    (the segment is kept as it is, and a new one begun) or `gone` (its file).
    """

    what: str
    segment: SegmentName
    detail: str


class SegmentWriter:
    """Appends to one writer's newest segment; nobody else may write under its name.

    First comes `resume`, and `begin` when that finds nothing.
    """

    def __init__(
        self, disk: Disk, ledger: Ledger, writer: str, now: Callable[[], datetime]
    ) -> None:
        self.ledger = ledger
        self.writer = writer
        self.findings: list[Finding] = []
        """What people should be told; the caller takes it away."""
        self._disk = disk
        self._now = now
        self._open: _OpenSegment | None = None

    @property
    def ready(self) -> bool:
        """Whether it knows where its chain stands."""
        return self._open is not None

    @property
    def size(self) -> int:
        """Bytes of the newest segment."""
        return self._open.size if self._open else 0

    @property
    def head(self) -> Head | None:
        """Its last acknowledged line; None before `resume` or `begin`."""
        return Head(self._open.name, self._open.last) if self._open else None

    @property
    def since(self) -> datetime | None:
        """Since when the newest segment has records; None when it has none."""
        return self._open.since if self._open else None

    def resume(self) -> bool:
        """Go on where this writer stopped or crashed; False when the disk does not tell where."""
        names = self.segments()
        while names:
            text = self._read(names[-1])
            if text.sound:
                self._reopen(text)
                return True
            if text.lines or text.damaged:
                return self._go_round(text, names)
            # The crash came before its header was whole, so it holds nothing.
            self._find("torn", text.name, f"{len(text.torn)} bytes")
            self.remove(names.pop())
        return False

    def begin(self, name: SegmentName, last: Position) -> None:
        """Start a segment after a chain that ended at `last`."""
        line, position = header(name, self._now(), last)
        try:
            file = self._disk.create(name.file)
        except FileExistsError:
            # What an earlier attempt left: only a header, if that.
            file = self._disk.open(name.file)
        try:
            file.truncate(0)
            file.write(line)
            file.sync()
            self._disk.sync()
        except BaseException:
            file.close()
            raise
        self.close()
        self._open = _OpenSegment(name, file, len(line), position)

    def append(self, records: Sequence[Entry]) -> None:
        """They are durable when this returns; when it raises, none of them counts."""
        segment = self._healthy()
        segment.append(*entries(records, segment.last))
        segment.since = segment.since or self._now()

    def rotate(self) -> None:
        """Close the newest segment and start the next one."""
        segment = self._healthy()
        segment.append(*end(segment.last))
        segment.ended = True
        self._healthy()

    def segments(self) -> list[SegmentName]:
        """Those on the disk, oldest first."""
        names = (self.ledger.of_file(name) for name in self._disk.names())
        return sorted(name for name in names if name is not None and name.writer == self.writer)

    def closed(self) -> list[SegmentName]:
        """Those on the disk that take no more lines, oldest first."""
        return [name for name in self.segments() if self._open and name < self._open.name]

    def read(self, name: SegmentName) -> bytes:
        return self._disk.read(name.file)

    def remove(self, name: SegmentName) -> None:
        """Take away a segment that holds nothing, or is safe elsewhere."""
        self._disk.remove(name.file)
        self._disk.sync()

    def close(self) -> None:
        """Let go of the file."""
        if self._open is not None:
            with suppress(OSError):
                self._open.file.close()
            self._open = None

    def _read(self, name: SegmentName) -> SegmentText:
        return read_segment(name, self.read(name))

    def _reopen(self, text: SegmentText) -> None:
        """Append to it again, without what a crash left behind its last whole line."""
        if text.torn:
            self._find("torn", text.name, f"{len(text.torn)} bytes")
        assert text.last is not None
        # Whoever made it may have failed, or died, before the folder was sure to name it.
        self._disk.sync()
        since = self._now() if text.record_count else None
        file = self._disk.open(text.name.file)
        # Suspect, so that it is cut off and synced before anything is built upon it.
        self._open = _OpenSegment(
            text.name, file, text.size, text.last, since, ended=text.ended, suspect=True
        )
        self._healthy()

    def _go_round(self, text: SegmentText, names: Sequence[SegmentName]) -> bool:
        """Leave a damaged segment as it is, for whoever looks into it, and go on behind it."""
        self._find("damaged", text.name, f"lines {sorted(text.damaged)}")
        for name in reversed(names):
            last = self._read(name).last
            if last is not None:
                self.begin(text.name.next, last)
                return True
        return False

    def _healthy(self) -> _OpenSegment:
        """The segment to append to, once what failed before is taken back."""
        segment = self._open
        assert segment is not None, "resume comes first"
        if segment.suspect or not segment.file.linked():
            segment.suspect = True
            if self._holds(segment):
                self._take_back(segment)
            else:
                segment.ended = True
        if segment.ended:
            self.begin(segment.name.next, segment.last)
        assert self._open is not None
        return self._open

    def _holds(self, segment: _OpenSegment) -> bool:
        """Whether the disk still has all that was acknowledged."""
        try:
            data = self.read(segment.name)
        except FileNotFoundError:
            self._find("gone", segment.name, "its file")
            return False
        text = read_segment(segment.name, data[: segment.size])
        if len(data) < segment.size or not text.sound or text.last != segment.last:
            self._find("damaged", segment.name, f"lines {sorted(text.damaged)}")
            return False
        return True

    def _take_back(self, segment: _OpenSegment) -> None:
        """Cut off what was not acknowledged: bytes whose sync failed may be lost for good,

        however well the next sync goes.
        """
        with suppress(OSError):
            segment.file.close()
        segment.file = self._disk.open(segment.name.file)
        segment.file.truncate(segment.size)
        segment.file.sync()
        segment.suspect = False

    def _find(self, what: str, segment: SegmentName, detail: str) -> None:
        self.findings.append(Finding(what, segment, detail))


@dataclass
class _OpenSegment:
    """The newest segment, as far as it was acknowledged: its bytes, and the chain's end.

    `suspect` means that the file may hold more than that.
    """

    name: SegmentName
    file: OpenFile
    size: int
    last: Position
    since: datetime | None = None
    ended: bool = False
    suspect: bool = False

    def append(self, data: bytes, last: Position) -> None:
        self.suspect = True
        self.file.write(data)
        self.file.sync()
        self.suspect = False
        self.size += len(data)
        self.last = last
