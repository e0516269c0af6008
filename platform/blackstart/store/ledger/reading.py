"""Reads a ledger from the object store and a local folder, whatever state they are in."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from blackstart.errors import ObjectNotFoundError, StorageError
from blackstart.store.ledger.chain import Chain, Decode
from blackstart.store.ledger.claim import is_claimed
from blackstart.store.ledger.heads import Head, HeadFiles, stored_heads
from blackstart.store.ledger.problems import LogProblem, ProblemKind
from blackstart.store.ledger.segment import Ledger, SegmentName, SegmentText, read_segment
from blackstart.store.ledger.shipping import stored_segments
from blackstart.store.objects import ObjectStore
from blackstart.store.threads import in_thread


class Dated(Protocol):
    """A record that knows when it was made."""

    @property
    def at(self) -> datetime: ...


Record = TypeVar("Record", bound=Dated)


@dataclass
class WriterSummary:
    """What was read of one writer's log."""

    segments: int = 0
    records: int = 0
    newest: datetime | None = None


class LedgerReading(Generic[Record]):
    """One pass over a ledger: `async for record in reading`, then `problems` and `writers`.

    Records come writer by writer, each writer's in the order they were written.
    One segment is held at a time. Nothing that is wrong with the log ends the
    pass: it is in `problems`, and all else is read.
    """

    def __init__(
        self,
        ledger: Ledger,
        decode: Decode[Record],
        objects: ObjectStore,
        folder: Path | None,
        heads: Path | None = None,
    ) -> None:
        """`heads` is the folder where heads are kept, if any are."""
        self.problems: list[LogProblem] = []
        self.writers: dict[str, WriterSummary] = {}
        self._ledger = ledger
        self._decode = decode
        self._objects = objects
        self._folder = folder
        self._heads = heads
        self._all_listed = True

    async def __aiter__(self) -> AsyncIterator[Record]:
        # Before the lines: of a ledger that is being written, these may only be more.
        unmet, failure = await self._all_heads()
        # The folder first: what is moved meanwhile is found in the object store, not nowhere.
        local = await self._local_names()
        stored = await self._stored_names()
        if failure and self._all_listed:
            self._unlisted(failure)
        names = sorted(local | stored)
        for writer, own in groupby(names, key=lambda name: name.writer):
            heads = [head for head in unmet if head.writer == writer]
            unmet = [head for head in unmet if head.writer != writer]
            async for record in self._of_writer(writer, list(own), local, stored, heads):
                yield record
        for head in unmet:
            self._tell_unmet(head, 0, 0)

    async def _of_writer(
        self,
        writer: str,
        names: Sequence[SegmentName],
        local: set[SegmentName],
        stored: set[SegmentName],
        heads: Sequence[Head],
    ) -> AsyncIterator[Record]:
        chain = Chain(self.problems.append, self._decode, all_listed=self._all_listed)
        summary = self.writers[writer] = WriterSummary()
        unmet, last = set(heads), 0
        for name in names:
            newest = name == names[-1] and name in local
            # Asked before it is read: a writer that ends in between leaves no torn line.
            being_written = newest and await self._being_written(writer)
            copies, failure = await self._copies(name, local, stored)
            if not copies:
                chain.unreadable(name, failure)
                continue
            records = chain.read(copies[0], open_end=newest, being_written=being_written)
            summary.segments += 1
            positions = {line.position for copy in copies for line in copy.lines.values()}
            unmet = {head for head in unmet if head.position not in positions}
            last = max([last, *(position.seq for position in positions)])
            for record in [*records, *self._only_in(copies[1:], copies[0])]:
                summary.records += 1
                summary.newest = max(summary.newest or record.at, record.at)
                yield record

        for head in sorted(unmet, key=lambda head: head.position.seq):
            self._tell_unmet(head, last, names[-1].number)

    def _tell_unmet(self, head: Head, last: int, segment: int) -> None:
        """A line that was acknowledged is not there, or another one stands in its place.

        Without a local folder the segment that is still written to is not looked for.
        """
        seq = head.position.seq
        if self._folder is None and head.segment.number == segment + 1:
            return
        if last < seq:
            what = f"the ledger of {head.writer} ends at number {last}, its head stands at {seq}"
            kind = ProblemKind.CUT_TAIL
        else:
            what = f"number {seq} of {head.writer} is not the line that its head names"
            kind = ProblemKind.REWRITTEN
        self.problems.append(LogProblem(kind, what, head.writer, head.segment.number))

    async def _all_heads(self) -> tuple[list[Head], str]:
        """All that can be read, and why others could not be."""
        found: list[tuple[str, bytes]] = []
        failure = ""
        try:
            if self._heads is not None:
                found += await in_thread("heads could not be read", _read_heads, self._heads)
            found += await stored_heads(self._objects, self._ledger)
        except StorageError as error:
            failure = error.message
        heads: dict[Head, None] = {}
        for where, data in found:
            try:
                heads[Head.decode(self._ledger, data)] = None
            except ValueError as error:
                self._unlisted(f"the head {where}: {error}")
        return list(heads), failure

    def _only_in(self, others: Sequence[SegmentText], best: SegmentText) -> list[Record]:
        """What another copy of a segment has: somebody was told that it is kept."""
        known = {line.position for line in best.lines.values()}
        found = []
        for other in others:
            name, what = other.name, f"the two copies of {other.name} differ"
            kind = ProblemKind.DIFFERING_COPIES
            self.problems.append(LogProblem(kind, what, name.writer, name.number))
            for line in other.lines.values():
                if line.position not in known:
                    with suppress(ValueError):
                        found.append(self._decode(name, line))
        return found

    async def _copies(
        self, name: SegmentName, local: set[SegmentName], stored: set[SegmentName]
    ) -> tuple[list[SegmentText], str]:
        """The different copies of a segment, the best one first; and why, when there is none."""
        found: dict[bytes, SegmentText] = {}
        failure = "it is gone"
        try:
            data = await self._read_local(name) if name in local else None
            if data is not None:
                found[data] = read_segment(name, data)
        except StorageError as error:
            failure = error.message
        try:
            # One that was local a moment ago may have been moved.
            if name in stored or not found:
                data = await self._objects.get(name.key)
                found[data] = read_segment(name, data)
        except ObjectNotFoundError:
            pass
        except StorageError as error:
            failure = error.message
        return sorted(found.values(), key=_worth, reverse=True), failure

    async def _local_names(self) -> set[SegmentName]:
        if self._folder is None:
            return set()
        try:
            names = await in_thread("its folder could not be read", os.listdir, self._folder)
        except StorageError as error:
            self._unlisted(f"{self._folder}: {error.message}")
            return set()
        found = (self._ledger.of_file(name) for name in names)
        return {name for name in found if name is not None}

    async def _stored_names(self) -> set[SegmentName]:
        try:
            return set(await stored_segments(self._objects, self._ledger))
        except StorageError as error:
            self._unlisted(error.message)
            self._all_listed = False
            return set()

    async def _read_local(self, name: SegmentName) -> bytes | None:
        assert self._folder is not None
        path = self._folder / name.file
        try:
            return await in_thread(f"cannot read {path}", path.read_bytes)
        except StorageError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise

    async def _being_written(self, writer: str) -> bool:
        assert self._folder is not None
        try:
            return is_claimed(self._folder, writer)
        except StorageError:
            return False

    def _unlisted(self, why: str) -> None:
        what = f"a part of the log could not be looked at: {why}"
        self.problems.append(LogProblem(ProblemKind.UNREADABLE, what))


def _read_heads(folder: Path) -> list[tuple[str, bytes]]:
    return list(HeadFiles(folder).read())


def _worth(text: SegmentText) -> tuple[bool, bool, int]:
    return text.sound, text.ended, len(text.lines)
