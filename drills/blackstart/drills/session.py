"""Everything around a drill: a database, a bucket, a folder; all gone when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import psutil

from blackstart.drills.drill import Drill
from blackstart.drills.journal import Journal
from blackstart.drills.result import Result, make_result
from blackstart.errors import DatabaseError
from blackstart.process import scratch_folder
from blackstart.seed import Seed
from blackstart.store import ObjectStore, embedded_mongodb
from blackstart.store.metadata import MetadataStore, connect

SAMPLE_S = 1.0


async def run_drill(drill: Drill, mongodb_uri: str | None) -> tuple[Result, Journal]:
    """Run a drill on a database and a bucket of its own.

    `mongodb_uri` None starts the embedded server; on any other server a
    database with a fresh name is made, and dropped at the end.
    Raises: BlackstartError.
    """
    began = time.monotonic()
    memory = PeakMemory()
    sampling = asyncio.create_task(memory.sample_forever())
    try:
        async with scratch_folder("drill") as folder, _database(mongodb_uri) as store:
            verdict = await drill.run(store, ObjectStore.open("memory://"), folder)
    finally:
        sampling.cancel()
    result = make_result(
        drill.order, verdict, wall_s=time.monotonic() - began, peak_rss_mb=memory.peak_mb
    )
    return result, verdict.evidence.journal


@contextlib.asynccontextmanager
async def _database(uri: str | None) -> AsyncIterator[MetadataStore]:
    if uri is None:
        async with embedded_mongodb() as own, connect(own, "drill") as store:
            yield store
        return
    name = f"blackstart_drill_{Seed.from_entropy().new_id()}"
    async with connect(uri, name) as store:
        try:
            yield store
        finally:
            with contextlib.suppress(DatabaseError):
                await asyncio.shield(store.drop())


class PeakMemory:
    """The most memory this process and all below it held at one moment."""

    def __init__(self) -> None:
        self.peak_mb = 0.0
        self._self = psutil.Process()

    async def sample_forever(self) -> None:
        """Look once a second until cancelled."""
        while True:
            self.sample()
            await asyncio.sleep(SAMPLE_S)

    def sample(self) -> None:
        """Add up the resident memory of every process of ours."""
        total = 0
        for process in [self._self, *self._self.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
        self.peak_mb = max(self.peak_mb, total / 2**20)
