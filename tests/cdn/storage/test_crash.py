"""A cache's folder after crashes and failures: nothing torn, nothing wrong, nothing purged.

A story is a random run of stores, purges and reads. It is told with a disk
that fails or dies at a chosen step, and in a process that is killed; then the
folder is opened again and all it holds is looked at. A crash inside a
transaction of the index is one before its commit: SQLite undoes it.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from blackstart.cdn.message import whole_body
from blackstart.cdn.storage import Cache, DiskTier, Entry
from blackstart.cdn.storage.files import Files
from blackstart.clock import Clock, WallClock
from blackstart.errors import StorageError
from blackstart.seed import Seed

GATHER_BYTES = 40_000
QUOTAS = {"free": 300_000, "pro": 600_000}
PAGES = 14
STEPS = 60
SWEEP = range(12, 12 + 25 * int(os.environ.get("BLACKSTART_SWEEP", "20")))


def body_of(version: int) -> bytes:
    """What the origin answered with; some are spooled, one in seven is empty."""
    draw = Seed(version, "size").random
    size = 0 if version % 7 == 0 else draw.choice([10, 3_000, 30_000, 70_000])
    return hashlib.shake_128(b"%d" % version).digest(size)


def key_of(version: int) -> str:
    return f"a.example /{Seed(version, 'key').random.randrange(PAGES)}"


def tag_of(version: int) -> str:
    return f"tag-{version % 5}"


def version_of(entry: Entry) -> int:
    return int(entry.headers.get("x-version") or -1)


def confirmed_of(entry: Entry) -> int:
    """The version that was the newest when the origin gave or confirmed this one."""
    return int(entry.headers.get("x-confirmed") or -1)


def entry_of(version: int, clock: Clock) -> Entry:
    return Entry(
        key=key_of(version),
        selecting=(),
        status=200,
        head=b"x-version: %d\r\nx-confirmed: %d\r\n" % (version, version),
        size=0,
        part=None,
        stored_at=clock.time(),
        initial_age_s=0.0,
        lifetime_s=60.0,
        stale_if_error_s=0.0,
        stale_while_revalidate_s=0.0,
        rules=0,
        tags=("all", tag_of(version)),
        plan="free" if version % 2 else "pro",
    )


class Record:
    """What the story's teller was promised."""

    def __init__(self) -> None:
        self.version = 0
        self.purged: list[tuple[str, int]] = []  # A tag or a key, and the version it was before.
        self.soft: list[tuple[str, int]] = []

    def promise(self, word: str, what: str, before: int) -> None:
        (self.purged if word == "purged" else self.soft).append((what, before))

    def is_purged(self, version: int) -> bool:
        return _covered(self.purged, version, version)

    def is_stale(self, version: int, confirmed: int) -> bool:
        return _covered(self.soft, version, confirmed)


def _covered(purges: list[tuple[str, int]], version: int, age: int) -> bool:
    names = ("all", tag_of(version), key_of(version))
    return any(what in names and age < before for what, before in purges)


async def tell(
    cache: Cache, clock: Clock, record: Record, seed: Seed, promise: Callable[[str, str, int], None]
) -> AsyncIterator[None]:
    """One step after the other; `promise` hears what the cache has acknowledged."""
    draw = seed.random
    unacknowledged: list[tuple[str, int]] = []
    while True:
        act = draw.choices(
            ["store", "stream", "freshen", "read", "purge", "soft", "invalidate", "flush"],
            [30, 12, 10, 20, 8, 5, 5, 10],
        )[0]
        key = f"a.example /{draw.randrange(PAGES)}"
        what = draw.choice([f"tag-{draw.randrange(5)}", key, "all" if draw.random() < 0.2 else key])
        if act == "store":
            await _store(cache, clock, _next(record))
        elif act == "stream":
            await _stream(cache, clock, _next(record))
        elif act == "freshen":
            for entry in await cache.find(key):
                head = b"x-version: %d\r\nx-confirmed: %d\r\n"
                head %= (version_of(entry), _next(record))
                cache.replace(entry, replace(entry, head=head, stale=False))
        elif act == "read":
            for entry in await cache.find(key):
                await look_at(cache, entry, record)
        elif act == "invalidate":
            cache.invalidate([key])
            assert cache.lookup(key) == ()
            unacknowledged.append((key, record.version + 1))
        elif act == "flush":
            with suppress(StorageError):
                await cache.disk.flush()
        else:
            before = record.version + 1
            purge = cache.purge_keys if what.startswith("a.example") else cache.purge
            try:
                await purge([what], soft=act == "soft")
            except StorageError:
                pass
            else:
                promise("soft" if act == "soft" else "purged", what, before)
                for each in unacknowledged:
                    promise("purged", *each)
                unacknowledged.clear()
        yield


def _next(record: Record) -> int:
    record.version += 1
    return record.version


async def _store(cache: Cache, clock: Clock, version: int) -> None:
    entry = entry_of(version, clock)
    fetch = cache.begin(entry.key)
    cache.store(entry, fetch, body_of(version))
    cache.end(fetch)


async def _stream(cache: Cache, clock: Clock, version: int) -> None:
    entry, body = entry_of(version, clock), body_of(version)
    fetch = cache.begin(entry.key)
    intake = cache.intake(entry, fetch, len(body) if version % 3 else None)
    for first in range(0, len(body), 9_000):
        intake.write(body[first : first + 9_000])
        await intake.drain()
    if version % 11 == 0:
        intake.abort(StorageError("cut off"))
    else:
        intake.commit()
    cache.end(fetch)


async def look_at(cache: Cache, entry: Entry, record: Record) -> bool:
    """Compare one entry with what may be there; False when the cache says it has no body."""
    version = version_of(entry)
    assert entry.key == key_of(version)
    assert not record.is_purged(version), f"version {version} was purged"
    if record.is_stale(version, confirmed_of(entry)):
        assert entry.stale, f"version {version} was marked stale"
    try:
        body = await whole_body(await cache.read(entry))
    except StorageError:
        assert entry not in (cache.lookup(entry.key) or ())
        return False
    assert body == body_of(version), f"version {version} has another body"
    return True


def make_cache(folder: Path, clock: Clock, files: Files | None = None) -> Cache:
    disk = DiskTier(folder, QUOTAS, clock, largest_share=0.5, files=files)
    quotas = {plan: size // 4 for plan, size in QUOTAS.items()}
    return Cache(clock, quotas, largest_share=0.5, gather_bytes=GATHER_BYTES, disk=disk)


async def look_at_all(cache: Cache, record: Record) -> tuple[int, int]:
    """How many bodies were right, and how many entries had none."""
    await cache.loaded()
    cache.trust_found()
    seen = [await look_at(cache, entry, record) for entry in cache.entries()]
    return sum(seen), len(seen) - sum(seen)


class Crash(BaseException):
    """The process died here."""


class Faulty(Files):
    """From its step `at` on, `steps` steps go wrong; with Crash the first is the last one."""

    def __init__(self, kind: str, at: int, steps: int) -> None:
        self.kind = kind
        self.crashed = False
        self._left = at
        self._steps = steps

    def create(self, path: Path) -> int:
        self._step()
        return super().create(path)

    def write(self, descriptor: int, data: bytes) -> None:
        try:
            self._step()
        except BaseException:
            super().write(descriptor, data[: len(data) // 2])
            raise
        super().write(descriptor, data)

    def rename(self, source: Path, target: Path) -> None:
        self._step()
        super().rename(source, target)
        self._step()

    def unlink(self, path: Path) -> None:
        self._step()
        super().unlink(path)

    def about_to_commit(self) -> None:
        self._step(in_index=True)

    def committed(self) -> None:
        if self.kind == "crash":
            self._step()

    def _step(self, *, in_index: bool = False) -> None:
        if self.crashed:
            raise Crash
        self._left -= 1
        if not -self._steps < self._left <= 0:
            return
        if self.kind == "crash":
            self.crashed = True
            raise Crash
        if in_index:
            if self.kind == "damage":
                raise sqlite3.DatabaseError("database disk image is malformed")
            raise sqlite3.OperationalError("database or disk is full")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def live_and_die(folder: Path, clock: Clock, record: Record, seed: Seed) -> tuple[int, int]:
    """One run on a faulty disk, over what earlier ones left, which is looked at first."""
    draw = seed.fork("fault").random
    kind = draw.choice(["crash", "crash", "crash", "full", "damage"])
    files = Faulty(kind, draw.randrange(150), draw.randrange(1, 12))
    cache = make_cache(folder, clock, files)
    await cache.open()
    found = await look_at_all(cache, record)
    steps = tell(cache, clock, record, seed.fork("story"), record.promise)
    for _ in range(STEPS):
        await anext(steps)
        if files.crashed:
            break
        if draw.random() < 0.05:
            clock.advance(61)
    await steps.aclose()
    await cache.close()
    return found


async def sweep(folder: Path, clock: Clock, seeds: range) -> tuple[int, int]:
    right = missing = 0
    for number in seeds:
        record, seed = Record(), Seed(number, "crash")
        with capture_logs():
            for life in range(4):
                found = await live_and_die(
                    folder / str(number), clock, record, seed.fork(str(life))
                )
                right, missing = right + found[0], missing + found[1]
    return right, missing


async def test_after_a_crash_or_failure_nothing_is_torn_wrong_or_purged(tmp_path, clock) -> None:
    right, _ = await sweep(tmp_path, clock, range(12))
    assert right > 50, "the stories left next to nothing to look at"


@pytest.mark.slow
async def test_after_many_crashes_and_failures_nothing_is_torn_wrong_or_purged(
    tmp_path, clock
) -> None:
    right, _ = await sweep(tmp_path, clock, SWEEP)
    assert right > 4 * len(SWEEP)


def kill_after(lines: int, folder: Path, seed: int) -> Record:
    """Kill a process that tells a story after some lines; returns what it promised till it died."""
    child = subprocess.Popen(
        [sys.executable, __file__, str(folder), str(seed)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(lines)]
        child.kill()
        said += [line for line in child.stdout if line.endswith("]\n")]
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    record = Record()
    for word, *rest in map(json.loads, said):
        if word != "step":
            record.promise(word, *rest)
    return record


async def kill_and_look(folder: Path, seed: int, lines: int) -> int:
    record = kill_after(lines, folder, seed)
    cache = make_cache(folder, WallClock())
    await cache.open()
    right, missing = await look_at_all(cache, record)
    await cache.close()
    assert missing == 0, "a killed process leaves no row without its file"
    return right


async def test_a_killed_process_leaves_nothing_torn_wrong_or_purged(tmp_path) -> None:
    assert await kill_and_look(tmp_path, 1, 60) > 0


@pytest.mark.slow
async def test_many_killed_processes_leave_nothing_torn_wrong_or_purged(tmp_path) -> None:
    right = [await kill_and_look(tmp_path / str(n), n, 20 + 13 * n) for n in range(20)]
    assert sum(right) > 50


async def _tell_until_killed(folder: Path, seed: int) -> None:
    def say(*words: object) -> None:
        print(json.dumps(words), flush=True)

    cache, record = make_cache(folder, WallClock()), Record()
    await cache.open()
    await cache.loaded()

    def promise(word: str, what: str, before: int) -> None:
        say(word, what, before)
        record.promise(word, what, before)

    async for _ in tell(cache, WallClock(), record, Seed(seed, "kill"), promise):
        say("step")


if __name__ == "__main__":
    asyncio.run(_tell_until_killed(Path(sys.argv[1]), int(sys.argv[2])))
