"""A ledger without local files: each record goes straight into the object store.

A drill's day runs on it, since nothing here waits for a thread. Its newest
segment is written anew with each record, and is whole at any time.
"""

from __future__ import annotations

import asyncio
from typing import Generic

from blackstart.clock import Clock
from blackstart.store.ledger.line import Position
from blackstart.store.ledger.log import Given
from blackstart.store.ledger.segment import Ledger, SegmentName, end, entries, header
from blackstart.store.ledger.shipping import stored_end
from blackstart.store.objects import ObjectStore

SEGMENT_RECORDS = 64


class ObjectLedger(Generic[Given]):
    """One writer in an object store; nobody else may write under its `writer`'s name."""

    def __init__(self, objects: ObjectStore, ledger: Ledger, writer: str, clock: Clock) -> None:
        self._objects = objects
        self._ledger = ledger
        self._writer = writer
        self._clock = clock
        self._lock = asyncio.Lock()
        self._name: SegmentName | None = None
        self._text = b""
        self._count = 0
        self._last: Position

    async def record(self, record: Given) -> None:
        """In the object store when this returns. Raises: StorageError."""
        async with self._lock:
            if self._name is None:
                number, self._last = await stored_end(self._objects, self._ledger, self._writer)
                self._begin(self._ledger.segment(self._writer, number + 1))
            assert self._name is not None
            line, last = entries([record], self._last)
            closing, after = end(last)
            await self._objects.put(self._name.key, self._text + line + closing)
            self._text, self._last, self._count = self._text + line, last, self._count + 1
            if self._count == SEGMENT_RECORDS:
                self._last = after
                self._begin(self._name.next)

    def _begin(self, name: SegmentName) -> None:
        self._text, self._last = header(name, self._clock.now(), self._last)
        self._name, self._count = name, 0
