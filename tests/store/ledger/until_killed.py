"""A process that writes a pointer log until somebody kills it, and prints what was acknowledged."""

from __future__ import annotations

import asyncio
import itertools
import sys
from pathlib import Path

from tests.store.ledger.pointers import NOON, pointer

from blackstart.clock import WallClock
from blackstart.seed import Seed
from blackstart.store import ObjectStore
from blackstart.store.pointers.opening import open_pointer_log


async def write_until_killed(folder: Path) -> None:
    objects, clock = ObjectStore.open(str(folder / "objects")), WallClock()
    # Never the same number again, in this process or the next ones.
    numbers = itertools.count(int(clock.time() * 1_000_000))
    async with open_pointer_log(
        folder / "log",
        "control",
        objects,
        clock=clock,
        seed=Seed.from_entropy(),
        events=lambda *_, **__: None,
    ) as log:
        log._segment_bytes = 4_000

        async def write() -> None:
            for number in numbers:
                await log.record(pointer(number, at=NOON))
                print(number, flush=True)

        await asyncio.gather(*(write() for _ in range(4)))


if __name__ == "__main__":
    asyncio.run(write_until_killed(Path(sys.argv[1])))
