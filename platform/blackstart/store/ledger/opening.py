"""How a server gets a ledger: a folder, a writer's name, somebody to tend it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blackstart.clock import Clock
from blackstart.errors import ConflictError, StorageError
from blackstart.events import Events
from blackstart.seed import Seed
from blackstart.store.ledger.claim import Claim, claim_free, claim_writer, writers_in
from blackstart.store.ledger.disk import LocalDisk
from blackstart.store.ledger.heads import HeadFiles
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
    heads: Path | None = None,
) -> AsyncIterator[FileLedger[Any]]:
    """The ledger of one process of a role; segments that dead ones left are moved too.

    `heads` is the folder where heads are kept, away from the lines' own.

    Raises: StorageError when the folder cannot be used.
    """
    make = _Maker(ledger, folder, objects, clock, events, HeadFiles(heads) if heads else None)
    failure = f"cannot write a {ledger.title} in {folder}"
    claim = await in_thread(failure, claim_free, ledger, folder, role, seed.new_id()[:8])
    try:
        log = make.log(claim)
        await log.start()

        async def tend() -> None:
            await _adopt(make, claim)
            await log.tend()

        try:
            async with clock.beside(ledger.title, tend()):
                yield log
        finally:
            await log.close()
    finally:
        claim.release()


async def _adopt(make: _Maker, own: Claim) -> None:
    """Open and close in order what processes that are no more left in the folder."""
    try:
        for writer in await in_thread("", writers_in, make.folder, make.ledger):
            if writer != own.writer:
                await _open_and_close(make, writer)
    except StorageError as error:
        make.events(f"{make.ledger.mark}.not_moved", own.writer, error=error.message)


async def _open_and_close(make: _Maker, writer: str) -> None:
    try:
        claim = claim_writer(make.folder, writer)
    except ConflictError:
        return
    try:
        log = make.log(claim)
        await log.start()
        await log.close()
    finally:
        claim.release()


@dataclass(frozen=True)
class _Maker:
    """Opens one folder's ledgers."""

    ledger: Ledger
    folder: Path
    objects: ObjectStore
    clock: Clock
    events: Events
    heads: HeadFiles | None

    def log(self, claim: Claim) -> FileLedger[Any]:
        writer = SegmentWriter(LocalDisk(self.folder), self.ledger, claim.writer, self.clock.now)
        return FileLedger(
            writer, self.objects, clock=self.clock, events=self.events, heads=self.heads
        )
