"""What the tests of the pointer log share: records, and segments made of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from blackstart.store.ledger.line import START, Position
from blackstart.store.ledger.segment import SegmentName, end, entries, header
from blackstart.store.pointers.log import POINTERS
from blackstart.store.pointers.record import PointerRecord

NOON = datetime(2017, 2, 2, 12, tzinfo=UTC)
WRITER = "control-1-0a1b2c3d"
FIRST = POINTERS.segment(WRITER, 1)


def pointer(number: int, *, site: str = "5170", **changes: object) -> PointerRecord:
    """The record of a site's deploy of that number."""
    fields: dict[str, object] = {
        "at": NOON + timedelta(seconds=number % 86_400),
        "site_id": site,
        "deploy_id": f"{site}d{number}",
        "number": number,
        "commit_ref": f"{number:040x}",
        "tree": f"{number:064x}",
        "previous": f"{number - 1:064x}" if number > 1 else None,
        "file_count": number,
        "byte_count": 100 * number,
    }
    return PointerRecord(**(fields | changes))  # type: ignore[arg-type]


def segment(
    records: Sequence[PointerRecord],
    name: SegmentName = FIRST,
    last: Position = START,
    *,
    closed: bool = True,
) -> tuple[bytes, Position]:
    """A segment's bytes, and where the chain stands after it."""
    head, last = header(name, NOON, last)
    body, last = entries(records, last)
    foot, last = end(last) if closed else (b"", last)
    return head + body + foot, last


def segments(*runs: Sequence[PointerRecord], writer: str = WRITER) -> dict[str, bytes]:
    """Closed segments of one writer, by their keys in the object store."""
    made: dict[str, bytes] = {}
    last = START
    for number, records in enumerate(runs, start=1):
        name = POINTERS.segment(writer, number)
        made[name.key], last = segment(records, name, last)
    return made
