"""The pointer log after crashes and failures: nothing acknowledged is lost, nothing half read.

A life is a random run of records, some at the same time, on a disk and an
object store that fail or die at a chosen step. After each one another begins on
what is left, and in the end the whole log is read.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from tests.conftest import ManualClock
from tests.store.ledger.ghost import Crash, Fate, GhostDisk, GhostObjects
from tests.store.ledger.pointers import NOON, WRITER, pointer

from blackstart.errors import StorageError
from blackstart.seed import Seed
from blackstart.store import ObjectStore
from blackstart.store.ledger.writer import SegmentWriter
from blackstart.store.pointers import (
    FilePointerLog,
    PointerRecord,
    ProblemKind,
    read_pointer_log,
)
from blackstart.store.pointers.log import POINTERS

LIVES = 5
STEPS = 25
NEVER = 10**9
SWEEP = range(100, 100 + 50 * int(os.environ.get("BLACKSTART_SWEEP", "20")))
HARMLESS = {ProblemKind.TORN_LINE}


@dataclass
class Promises:
    """What the log was given, and what of it the log has acknowledged."""

    given: dict[int, PointerRecord] = field(default_factory=dict)
    kept: set[int] = field(default_factory=set)
    refused: int = 0
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))


async def record_some(log: FilePointerLog, count: int, promises: Promises) -> None:
    """Some records at the same time."""

    async def one(number: int) -> None:
        record = promises.given[number] = pointer(number, site=f"site{number % 3}")
        try:
            await log.record(record)
        except StorageError:
            promises.refused += 1
        else:
            promises.kept.add(number)

    numbers = [next(promises.numbers) for _ in range(count)]
    for result in await asyncio.gather(*map(one, numbers), return_exceptions=True):
        if isinstance(result, BaseException) and not isinstance(result, Crash):
            raise result


async def live(
    files: dict[str, bytes],
    objects: GhostObjects,
    fate: Fate,
    draw: Random,
    promises: Promises,
    steps: int = STEPS,
) -> dict[str, bytes]:
    """One process, from its start to its death or its orderly end; returns what the disk holds."""
    disk, clock = GhostDisk(fate, draw, files), ManualClock()
    objects.fate = fate
    log = FilePointerLog(
        SegmentWriter(disk, POINTERS, WRITER, lambda: NOON),
        objects,
        clock=clock,
        events=lambda *_, **__: None,
        segment_bytes=draw.choice([600, 2_000, 20_000]),
    )
    with suppress(Crash):
        with suppress(StorageError):
            await log.start()
        for _ in range(steps):
            await record_some(log, draw.choice([1, 1, 1, 2, 5]), promises)
            if fate.crashed:
                break
            if draw.random() < 0.1:
                clock.advance(timedelta(minutes=20).total_seconds())
                await log.look_after()
        if not fate.crashed:
            await log.close()
    await _ended(log)
    return disk.after_crash() if fate.crashed and draw.random() < 0.7 else disk.after_kill()


async def _ended(log: FilePointerLog) -> None:
    for work in (log._writing, log._shipping):
        if work is not None:
            await asyncio.wait([work])
            work.exception()


async def look(
    files: dict[str, bytes], objects: GhostObjects, folder: Path, promises: Promises
) -> None:
    """Read all of it, as an operator would, and hold it against what was promised."""
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    objects.fate = Fate(NEVER, crash=False)
    reading = read_pointer_log(objects, folder)
    found: dict[int, PointerRecord] = {}
    async for logged in reading:
        given = promises.given[logged.number]
        assert (logged.tree, logged.site_id, logged.at) == (given.tree, given.site_id, given.at)
        assert logged.number not in found, "a record is there twice"
        found[logged.number] = logged
    assert promises.kept <= found.keys(), "an acknowledged pointer is lost"
    assert {each.kind for each in reading.problems} <= HARMLESS, reading.problems


async def live_and_look(seed: int, folder: Path) -> Promises:
    draw = Seed(seed, "pointer log").random
    objects, promises = GhostObjects(ObjectStore.open("memory://").backend), Promises()
    files: dict[str, bytes] = {}
    for life in range(LIVES):
        fate = Fate(draw.randrange(160), crash=draw.random() < 0.7, steps=draw.randrange(1, 12))
        files = await live(files, objects, fate, draw, promises)
        await look(files, objects, folder / str(life), promises)
    before = len(promises.kept)
    files = await live(files, objects, Fate(NEVER, crash=False), draw, promises)
    assert len(promises.kept) >= before + STEPS, "the log is of no use although the disk is well"
    await look(files, objects, folder / "end", promises)
    assert len(files) == 1, "all but the newest segment was moved"
    return promises


async def sweep(seeds: Iterable[int], folder: Path) -> None:
    told = [await live_and_look(seed, folder / str(seed)) for seed in seeds]
    assert sum(promises.refused for promises in told) > 0, "no disk was ever full"


async def test_after_crashes_and_failures_no_acknowledged_pointer_is_lost(tmp_path: Path) -> None:
    await sweep(range(25), tmp_path)


@pytest.mark.slow
async def test_after_many_crashes_and_failures_no_acknowledged_pointer_is_lost(
    tmp_path: Path,
) -> None:
    await sweep(SWEEP, tmp_path)


@pytest.mark.parametrize("crash", [True, False])
async def test_at_every_single_step_a_crash_or_a_failure_loses_nothing(
    tmp_path: Path, crash: bool
) -> None:
    """One story, once for each of its steps."""
    for step in itertools.count(1):
        objects, promises = GhostObjects(ObjectStore.open("memory://").backend), Promises()
        fate = Fate(step, crash=crash)
        files = await live({}, objects, fate, Random(7), promises, 10)
        files = await live(files, objects, Fate(NEVER, crash=False), Random(8), promises, 2)
        await look(files, objects, tmp_path / str(step), promises)
        if not fate.failed:
            assert step > 50
            return


def kill_after(lines: int, folder: Path) -> set[int]:
    """Kill a process that writes after it acknowledged so many; returns the acknowledged ones."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.store.ledger.until_killed", str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    try:
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(lines)]
        child.kill()
        said += [line for line in child.stdout if line.endswith("\n")]
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    return {int(line) for line in said}


async def kill_and_look(folder: Path, lines: Iterable[int]) -> None:
    acknowledged: set[int] = set()
    for each in lines:
        killed = kill_after(each, folder)
        assert not killed & acknowledged
        acknowledged |= killed
    reading = read_pointer_log(ObjectStore.open(str(folder / "objects")), folder / "log")
    found = [logged.number async for logged in reading]
    assert acknowledged <= set(found)
    assert len(found) == len(set(found))
    assert {each.kind for each in reading.problems} <= HARMLESS
    assert list(reading.writers) == [next(iter(reading.writers))], "each took up the same chain"


async def test_a_killed_process_loses_no_acknowledged_pointer(tmp_path: Path) -> None:
    await kill_and_look(tmp_path, [1, 40, 90])


@pytest.mark.slow
async def test_many_killed_processes_lose_no_acknowledged_pointer(tmp_path: Path) -> None:
    await kill_and_look(tmp_path, [3 + 7 * number for number in range(30)])
