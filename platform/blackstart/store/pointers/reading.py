"""Reads a pointer log: each pointer with its place, and the newest one of a deploy."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from pathlib import Path

from blackstart.store.ledger import LedgerReading, Line, SegmentName
from blackstart.store.objects import ObjectStore
from blackstart.store.pointers.log import POINTERS
from blackstart.store.pointers.record import PointerRecord


@dataclass(frozen=True)
class LoggedPointer(PointerRecord):
    """A record with its place in the log; `seq` is the number of its line."""

    segment: SegmentName
    seq: int

    @classmethod
    def at_line(cls, name: SegmentName, line: Line) -> LoggedPointer:
        """Raises: ValueError when the line is no record."""
        record = PointerRecord.from_fields(line.fields)
        values = {field.name: getattr(record, field.name) for field in fields(PointerRecord)}
        return cls(**values, segment=name, seq=line.position.seq)


PointerLogReading = LedgerReading[LoggedPointer]


def read_pointer_log(objects: ObjectStore, folder: Path | None = None) -> PointerLogReading:
    """One pass over all segments in the object store, and those still in a local folder."""
    return LedgerReading(POINTERS, LoggedPointer.at_line, objects, folder)


async def newest_pointers(
    reading: PointerLogReading, deploy_ids: Collection[str]
) -> dict[str, LoggedPointer]:
    """The last pointer of each of these deploys that the log has one of."""
    found: dict[str, LoggedPointer] = {}
    async for pointer in reading:
        if pointer.deploy_id in deploy_ids:
            known = found.get(pointer.deploy_id)
            if known is None or (known.at, known.seq) <= (pointer.at, pointer.seq):
                found[pointer.deploy_id] = pointer
    return found
