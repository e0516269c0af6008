"""The cache's second tier: entries in files, which outlive a restart and never fail a visitor."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import structlog

from blackstart.cdn.entry import (
    HEAD_PREFIX_BYTES,
    Entry,
    decode,
    decode_head,
    encode,
    head_length,
)
from blackstart.cdn.quota import MEBIBYTE, PlanQuotas
from blackstart.clock import Clock
from blackstart.errors import StorageError

log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Slot:
    """One file: the entry until it is written, whether writing failed, whether it was found."""

    pending: Entry | None = None
    lost: bool = False
    suspect: bool = False


class DiskTier:
    """Entries in one folder that no other node may share.

    One thread does all writing and removing, in the order it was asked to, so
    that a removal never overtakes the write it undoes, and no visitor waits for
    a disk to sync. Beyond `pending_bytes` of waiting writes, entries are simply
    not kept here. After a failed write nothing is written for `pause_s` seconds.
    """

    def __init__(
        self,
        folder: Path,
        quotas: Mapping[str, int],
        clock: Clock,
        *,
        pending_bytes: int = 64 * MEBIBYTE,
        pause_s: float = 60.0,
    ) -> None:
        self.folder = folder
        self.quotas = PlanQuotas(quotas)
        self._clock = clock
        self._pending_limit_bytes = pending_bytes
        self._pending_bytes = 0
        self._pending_lock = threading.Lock()
        self._pause_s = pause_s
        self._paused_until = float("-inf")
        self._slots: dict[str, _Slot] = {}
        self._worker: ThreadPoolExecutor | None = None

    async def open(self) -> list[Entry]:
        """Find what an earlier run left; returns it without bodies, oldest first.

        A folder that cannot be used leaves the tier switched off. Opening an
        open tier finds nothing new.
        """
        if self._worker is not None:
            return []
        try:
            found = await asyncio.to_thread(self._scan)
        except OSError as error:
            log.warning("cache folder cannot be used", folder=str(self.folder), error=str(error))
            return []
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="cdn-disk")
        heads: dict[str, Entry] = {}
        for head, size in found:
            if not self.quotas.fits(head.plan, size):
                self._submit(partial(self._unlink, head.key))
                continue
            for key in self.quotas.put(head.key, head.plan, size):
                del heads[key]
                self.remove(key)
            self._slots[head.key] = _Slot(suspect=True)
            heads[head.key] = head
        return list(heads.values())

    def put(self, entry: Entry) -> list[str] | None:
        """Keep an entry soon; returns the keys that had to leave, or None when it is not kept."""
        size = entry.size
        if not self._accepts(entry.plan, size):
            self.remove(entry.key)
            return None
        evicted = self.quotas.put(entry.key, entry.plan, size)
        for key in evicted:
            self.remove(key)
        slot = _Slot(pending=entry)
        self._slots[entry.key] = slot
        with self._pending_lock:
            self._pending_bytes += size
        self._submit(partial(self._write, entry, slot))
        return evicted

    async def read(self, key: str) -> Entry | None:
        """The entry, or None when it is not here, damaged, or purged while it was read."""
        slot = self._slots.get(key)
        if slot is None:
            return None
        pending = slot.pending
        if pending is not None:
            self.quotas.touch(key)
            return pending
        entry = None if slot.lost else await asyncio.to_thread(self._read, key)
        if self._slots.get(key) is not slot:
            return None
        if entry is None:
            self.remove(key)
            return None
        self.quotas.touch(key)
        return replace(entry, suspect=slot.suspect)

    def remove(self, key: str) -> None:
        """Drop an entry, if it is here; its file goes soon."""
        if self._slots.pop(key, None) is not None:
            self.quotas.remove(key)
            self._submit(partial(self._unlink, key))

    async def flush(self) -> None:
        """Wait until everything asked for so far is on the disk."""
        if self._worker is not None:
            await asyncio.get_running_loop().run_in_executor(self._worker, int)

    async def close(self) -> None:
        """Finish what is pending and switch the tier off."""
        await self.flush()
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.shutdown(wait=False)

    def __contains__(self, key: str) -> bool:
        return key in self._slots

    def __len__(self) -> int:
        return len(self._slots)

    def path_of(self, key: str) -> Path:
        """Where the entry with this key lies."""
        name = hashlib.sha256(key.encode()).hexdigest()
        return self.folder / name[:2] / f"{name}.entry"

    def _accepts(self, plan: str, size: int) -> bool:
        return (
            self._worker is not None
            and self._clock.time() >= self._paused_until
            and self._pending_bytes + size <= self._pending_limit_bytes
            and self.quotas.fits(plan, size)
        )

    def _submit(self, job: Callable[[], None]) -> None:
        if self._worker is not None:
            self._worker.submit(job)

    # What follows runs in threads and touches no shared state but the slot it was given.

    def _write(self, entry: Entry, slot: _Slot) -> None:
        try:
            write_durably(self.path_of(entry.key), encode(entry), self.folder / "tmp")
        except OSError as error:
            slot.lost = True
            self._unlink(entry.key)  # An older version, if there was one, is wrong now.
            self._paused_until = self._clock.time() + self._pause_s
            log.warning(
                "cache disk failed, memory only for now", pause_s=self._pause_s, error=str(error)
            )
        finally:
            slot.pending = None
            with self._pending_lock:
                self._pending_bytes -= entry.size

    def _unlink(self, key: str) -> None:
        try:
            self.path_of(key).unlink(missing_ok=True)
        except OSError as error:
            log.warning("cache entry cannot be removed from disk", key=key, error=str(error))

    def _read(self, key: str) -> Entry | None:
        try:
            entry = decode(self.path_of(key).read_bytes())
        except (OSError, StorageError) as error:
            log.warning("cache entry dropped", key=key, error=str(error))
            return None
        return entry if entry.key == key else None

    def _scan(self) -> list[tuple[Entry, int]]:
        self.folder.mkdir(parents=True, exist_ok=True)
        for leftover in self.folder.glob("tmp/*"):
            leftover.unlink()
        found = []
        for path in sorted(self.folder.glob("??/*.entry")):
            try:
                entry, size = read_head(path)
                if self.path_of(entry.key) != path:
                    raise StorageError("a cache entry lies under another entry's name")
                found.append((entry, size))
            except (OSError, StorageError) as error:
                log.warning("cache entry dropped", path=str(path), error=str(error))
                path.unlink(missing_ok=True)
        return sorted(found, key=lambda pair: (pair[0].stored_at, pair[0].key))


def read_head(path: Path) -> tuple[Entry, int]:
    """An entry's file without its body, and the size the whole entry counts for.

    Raises: OSError; StorageError when the file is torn or corrupt.
    """
    with path.open("rb") as file:
        prefix = file.read(HEAD_PREFIX_BYTES)
        file_bytes = os.fstat(file.fileno()).st_size
        end = head_length(prefix)
        if end > file_bytes:
            raise StorageError("a cache entry is torn")
        head = decode_head(prefix + file.read(end - HEAD_PREFIX_BYTES))
    if file_bytes != end + head.body_bytes:
        raise StorageError("a cache entry is torn")
    return head.entry, head.size


def write_durably(path: Path, data: bytes, scratch: Path) -> None:
    """Write a file so that after a crash it is there whole or not at all.

    Raises: OSError
    """
    scratch.mkdir(exist_ok=True)
    path.parent.mkdir(exist_ok=True)
    temporary = scratch / path.name
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
