"""How a server gets its pointer log: a folder, a writer's name, somebody to tend it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from blackstart.clock import Clock
from blackstart.errors import ConflictError, StorageError
from blackstart.events import Events
from blackstart.seed import Seed
from blackstart.store.objects import ObjectStore
from blackstart.store.pointers.claim import Claim, claim_free, claim_writer, writers_in
from blackstart.store.pointers.disk import LocalDisk
from blackstart.store.pointers.log import FilePointerLog
from blackstart.store.pointers.writer import SegmentWriter
from blackstart.store.threads import in_thread


@asynccontextmanager
async def open_pointer_log(
    folder: Path, role: str, objects: ObjectStore, *, clock: Clock, seed: Seed, events: Events
) -> AsyncIterator[FilePointerLog]:
    """The pointer log of one process of a role; segments that dead ones left are moved too.

    Raises: StorageError when the folder cannot be used.
    """
    failure = f"cannot write a pointer log in {folder}"
    claim = await in_thread(failure, claim_free, folder, role, seed.new_id()[:8])
    try:
        log = _log(folder, claim, objects, clock, events)
        await log.start()

        async def tend() -> None:
            await _adopt(folder, claim, objects, clock, events)
            await log.tend()

        try:
            async with clock.beside("pointer log", tend()):
                yield log
        finally:
            await log.close()
    finally:
        claim.release()


async def _adopt(
    folder: Path, own: Claim, objects: ObjectStore, clock: Clock, events: Events
) -> None:
    """Open and close in order what processes that are no more left in the folder."""
    try:
        for writer in await in_thread("", writers_in, folder):
            if writer != own.writer:
                await _open_and_close(folder, writer, objects, clock, events)
    except StorageError as error:
        events("pointer_log.not_moved", own.writer, error=error.message)


async def _open_and_close(
    folder: Path, writer: str, objects: ObjectStore, clock: Clock, events: Events
) -> None:
    try:
        claim = claim_writer(folder, writer)
    except ConflictError:
        return
    try:
        log = _log(folder, claim, objects, clock, events)
        await log.start()
        await log.close()
    finally:
        claim.release()


def _log(
    folder: Path, claim: Claim, objects: ObjectStore, clock: Clock, events: Events
) -> FilePointerLog:
    writer = SegmentWriter(LocalDisk(folder), claim.writer, clock.now)
    return FilePointerLog(writer, objects, clock=clock, events=events)
