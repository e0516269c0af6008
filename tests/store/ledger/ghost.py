"""A disk and an object store that fail or die at a chosen step, and what is left of them then.

The disk knows what a real one keeps through a power failure: what was synced,
and of the rest any part, torn anywhere. After a sync that failed, the bytes it
was for may be lost although the next sync goes well.
"""

from __future__ import annotations

import errno
import os
from random import Random

from blackstart.errors import StorageError
from blackstart.store import ObjectStore


class Crash(BaseException):
    """The machine died here."""


class Fate:
    """Counts steps; from step `at` on `steps` of them fail, or the first one is the last of all."""

    def __init__(self, at: int, *, crash: bool, steps: int = 1) -> None:
        self.crashed = False
        self.failed = 0
        self._left = at
        self._crash = crash
        self._steps = steps

    def step(self) -> None:
        if self.crashed:
            raise Crash
        self._left -= 1
        if not -self._steps < self._left <= 0:
            return
        self.failed += 1
        if self._crash:
            self.crashed = True
            raise Crash
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _common(one: bytes, other: bytes) -> int:
    """How many bytes they begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


class _Inode:
    """`cached` is what everybody sees, `kept` what is surely on the platter."""

    def __init__(self) -> None:
        self.cached = b""
        self.kept = b""
        self.lost = False

    def after_crash(self, draw: Random) -> bytes:
        if self.cached == self.kept or draw.random() < 0.2:
            return self.kept
        size = draw.randint(0, len(self.cached))
        common = _common(self.cached, self.kept)
        size = max(size, min(common, len(self.cached)))
        # Blocks that were allocated and never written are zeros.
        zeros = bytes(draw.choice([0, 0, draw.randint(0, len(self.cached) - size)]))
        return self.cached[:size] + zeros


class GhostDisk:
    """`Disk` in memory."""

    def __init__(self, fate: Fate, draw: Random, files: dict[str, bytes]) -> None:
        self.fate = fate
        self._draw = draw
        self._now: dict[str, _Inode] = {}
        for name, data in files.items():
            inode = self._now[name] = _Inode()
            inode.cached = inode.kept = data
        self._kept = dict(self._now)

    def names(self) -> list[str]:
        self.fate.step()
        return sorted(self._now)

    def read(self, name: str) -> bytes:
        self.fate.step()
        return self._inode(name).cached

    def create(self, name: str) -> GhostFile:
        self.fate.step()
        if name in self._now:
            raise FileExistsError(errno.EEXIST, "exists", name)
        self._now[name] = _Inode()
        return GhostFile(self, self._now[name])

    def open(self, name: str) -> GhostFile:
        self.fate.step()
        return GhostFile(self, self._inode(name))

    def remove(self, name: str) -> None:
        self.fate.step()
        self._inode(name)
        del self._now[name]

    def sync(self) -> None:
        self.fate.step()
        self._kept = dict(self._now)

    def has(self, inode: _Inode) -> bool:
        return inode in self._now.values()

    def after_kill(self) -> dict[str, bytes]:
        """What a killed process leaves."""
        return {name: inode.cached for name, inode in self._now.items()}

    def after_crash(self) -> dict[str, bytes]:
        """What a power failure leaves."""
        left = {}
        for name in sorted({*self._now, *self._kept}):
            now, kept = self._now.get(name), self._kept.get(name)
            inode = kept if now is None or (kept and self._draw.random() < 0.5) else now
            if kept is None and self._draw.random() < 0.5:
                continue
            if now is None and self._draw.random() < 0.5:
                continue
            assert inode is not None
            left[name] = inode.after_crash(self._draw)
        return left

    def _inode(self, name: str) -> _Inode:
        if name not in self._now:
            raise FileNotFoundError(errno.ENOENT, "gone", name)
        return self._now[name]


class GhostFile:
    """`OpenFile` over an inode of a ghost disk."""

    def __init__(self, disk: GhostDisk, inode: _Inode) -> None:
        self._disk = disk
        self._inode = inode

    def write(self, data: bytes) -> None:
        try:
            self._disk.fate.step()
        except BaseException:
            self._inode.cached += data[: self._disk._draw.randint(0, len(data))]
            raise
        self._inode.cached += data

    def truncate(self, size: int) -> None:
        self._disk.fate.step()
        assert size <= len(self._inode.cached), "this would fill the file with zeros"
        self._inode.cached = self._inode.cached[:size]
        self._inode.lost = self._inode.lost and size > len(self._inode.kept)

    def sync(self) -> None:
        try:
            self._disk.fate.step()
        except OSError:
            self._inode.lost = True
            raise
        if self._inode.lost:
            # The pages of the sync that failed count as clean, and are written never more.
            keep = _common(self._inode.cached, self._inode.kept)
            self._inode.kept = self._inode.cached[:keep]
        else:
            self._inode.kept = self._inode.cached

    def linked(self) -> bool:
        return self._disk.has(self._inode)

    def close(self) -> None:
        """Nothing is lost by it."""


class GhostObjects(ObjectStore):
    """An object store in memory, each call of which is a step."""

    fate: Fate

    async def put(self, key: str, data: bytes) -> None:
        """A failed or interrupted put may have been done."""
        late = len(data) % 2 == 0
        if late:
            await super().put(key, data)
        self._step("put")
        if not late:
            await super().put(key, data)

    async def get(self, key: str) -> bytes:
        self._step("get")
        return await super().get(key)

    async def list_keys(self, prefix: str) -> list[str]:
        self._step("list")
        return await super().list_keys(prefix)

    def _step(self, what: str) -> None:
        try:
            self.fate.step()
        except OSError as error:
            raise StorageError(f"the object store fails at {what}") from error
