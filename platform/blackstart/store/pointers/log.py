"""The pointer log as a ledger: what it is called, where it lies, and who writes it."""

from __future__ import annotations

from typing import Protocol

from blackstart.clock import Clock
from blackstart.store.ledger import FileLedger, Ledger, ObjectLedger
from blackstart.store.objects import ObjectStore
from blackstart.store.pointers.record import PointerRecord

POINTERS = Ledger(
    title="pointer log",
    mark="pointer_log",
    prefix="pointer-log/",
    refusal="the pointer was not set; try again when that is mended",
)

FilePointerLog = FileLedger[PointerRecord]
"""`PointerLog` over local segments, which are moved to the object store."""


class PointerLog(Protocol):
    """Takes each pointer right before it is set."""

    async def record(self, record: PointerRecord) -> None:
        """It is durable when this returns.

        Raises: StorageError, and then the pointer must not be set.
        """
        ...


class ObjectPointerLog(ObjectLedger[PointerRecord]):
    """`PointerLog` over an object store; nobody else may write under its `writer`'s name."""

    def __init__(self, objects: ObjectStore, writer: str, clock: Clock) -> None:
        super().__init__(objects, POINTERS, writer, clock)
