"""How a server gets its pointer log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from blackstart.clock import Clock
from blackstart.events import Events
from blackstart.seed import Seed
from blackstart.store.ledger import open_ledger
from blackstart.store.objects import ObjectStore
from blackstart.store.pointers.log import POINTERS, FilePointerLog


@asynccontextmanager
async def open_pointer_log(
    folder: Path, role: str, objects: ObjectStore, *, clock: Clock, seed: Seed, events: Events
) -> AsyncIterator[FilePointerLog]:
    """The pointer log of one process of a role; segments that dead ones left are moved too.

    Raises: StorageError when the folder cannot be used.
    """
    async with open_ledger(
        POINTERS, folder, role, objects, clock=clock, seed=seed, events=events
    ) as log:
        yield log
