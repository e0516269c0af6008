"""How a server gets a ledger: a folder, a writer's name, somebody to tend it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from blackstart.clock import Clock
from blackstart.errors import ConflictError, StorageError
from blackstart.events import Events
from blackstart.seed import Seed
from blackstart.store.ledger.claim import Claim, claim_free, claim_writer, writers_in
from blackstart.store.ledger.disk import LocalDisk
from blackstart.store.ledger.log import FileLedger
from blackstart.store.ledger.segment import Ledger
from blackstart.store.ledger.writer import SegmentWriter
from blackstart.store.objects import ObjectStore
from blackstart.store.threads import in_thread


@asynccontextmanager
async def open_ledger(
    ledger: Ledger,
    folder: Path,
    role: str,
    objects: ObjectStore,
    *,
    clock: Clock,
    seed: Seed,
    events: Events,
) -> AsyncIterator[FileLedger[Any]]:
    """The ledger of one process of a role; segments that dead ones left are moved too.

    Raises: StorageError when the folder cannot be used.
    """
    failure = f"cannot write a {ledger.title} in {folder}"
    claim = await in_thread(failure, claim_free, ledger, folder, role, seed.new_id()[:8])
    try:
        log = _log(ledger, folder, claim, objects, clock, events)
        await log.start()

        async def tend() -> None:
            await _adopt(ledger, folder, claim, objects, clock, events)
            await log.tend()

        try:
            async with clock.beside(ledger.title, tend()):
                yield log
        finally:
            await log.close()
    finally:
        claim.release()


async def _adopt(
    ledger: Ledger, folder: Path, own: Claim, objects: ObjectStore, clock: Clock, events: Events
) -> None:
    """Open and close in order what processes that are no more left in the folder."""
    try:
        for writer in await in_thread("", writers_in, folder, ledger):
            if writer != own.writer:
                await _open_and_close(ledger, folder, writer, objects, clock, events)
    except StorageError as error:
        events(f"{ledger.mark}.not_moved", own.writer, error=error.message)


async def _open_and_close(
    ledger: Ledger, folder: Path, writer: str, objects: ObjectStore, clock: Clock, events: Events
) -> None:
    try:
        claim = claim_writer(folder, writer)
    except ConflictError:
        return
    try:
        log = _log(ledger, folder, claim, objects, clock, events)
        await log.start()
        await log.close()
    finally:
        claim.release()


def _log(
    ledger: Ledger, folder: Path, claim: Claim, objects: ObjectStore, clock: Clock, events: Events
) -> FileLedger[Any]:
    writer = SegmentWriter(LocalDisk(folder), ledger, claim.writer, clock.now)
    return FileLedger[Any](writer, objects, clock=clock, events=events)
