"""A world that crashes: at any touch of the disk, the database or the control plane."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from blackstart.recovery.apply import Deeds
from blackstart.store.ledger.disk import OpenFile


class Crash(BaseException):
    """The process is gone; nothing after this line of it ever ran."""


@dataclass
class Fate:
    """Decides at each touch whether the process still lives, and what others do meanwhile.

    `touches_left` counts down to the crash. A touch is taken twice: before
    and after its effect. Once crashed, whatever still runs touches nothing.
    """

    random: Random
    touches_left: int
    touched: int = 0
    crashed: bool = False
    meddle: Callable[[], Awaitable[None]] | None = None

    def touch(self) -> None:
        self.touched += 1
        self.touches_left -= 1
        if self.crashed or self.touches_left < 0:
            self.crashed = True
            raise Crash

    async def around(self, effect: Callable[[], Awaitable[Any]]) -> Any:
        self.touch()
        if self.meddle is not None:
            await self.meddle()
        result = await effect()
        self.touch()
        return result


@dataclass
class _Inode:
    durable: bytes = b""
    pending: list[bytes] = field(default_factory=list)

    @property
    def data(self) -> bytes:
        return self.durable + b"".join(self.pending)


class CrashingDisk:
    """`Disk` in memory that forgets after a crash what was not synced, or half of it."""

    def __init__(self) -> None:
        self.files: dict[str, _Inode] = {}
        self.known: set[str] = set()
        self.fate: Fate

    def restart(self, random: Random) -> None:
        """What the next process finds."""
        for name in sorted(self.files.keys() - self.known):
            if random.random() < 0.5:
                del self.files[name]
        for inode in self.files.values():
            rest = b"".join(inode.pending)
            inode.durable += rest[: random.randint(0, len(rest))]
            inode.pending.clear()

    def names(self) -> list[str]:
        return sorted(self.files)

    def read(self, name: str) -> bytes:
        return self.files[name].data

    def create(self, name: str) -> OpenFile:
        self.fate.touch()
        if name in self.files:
            raise FileExistsError(17, "exists", name)
        self.files[name] = _Inode()
        return _File(self, self.files[name])

    def open(self, name: str) -> OpenFile:
        return _File(self, self.files[name])

    def remove(self, name: str) -> None:
        self.fate.touch()
        self.files.pop(name)
        self.known.discard(name)

    def sync(self) -> None:
        self.fate.touch()
        self.known = set(self.files)
        self.fate.touch()


class _File:
    def __init__(self, disk: CrashingDisk, inode: _Inode) -> None:
        self._disk = disk
        self._inode = inode

    def write(self, data: bytes) -> None:
        fate = self._disk.fate
        try:
            fate.touch()
        except Crash:
            if not fate.touches_left < -1:
                self._inode.pending.append(data[: fate.random.randint(0, len(data))])
            raise
        self._inode.pending.append(data)

    def truncate(self, size: int) -> None:
        self._disk.fate.touch()
        data = self._inode.data[:size]
        self._inode.durable, self._inode.pending = data, []

    def sync(self) -> None:
        self._disk.fate.touch()
        self._inode.durable, self._inode.pending = self._inode.data, []
        self._disk.fate.touch()

    def linked(self) -> bool:
        return True

    def close(self) -> None:
        """A dead process lets go of its files as well."""


class CrashingDeeds(Deeds):
    """The database, as far as the process lives to ask it; half of a write may be done."""

    def __init__(self, store: Any, fate: Fate) -> None:
        super().__init__(store)
        self._fate = fate

    async def read(self, deploy_ids: Any) -> Any:
        return await self._fate.around(lambda: super(CrashingDeeds, self).read(deploy_ids))

    async def swap(self, swaps: Any) -> Any:
        done = await self._fate.around(lambda: self._some(swaps))
        return done

    async def _some(self, swaps: Any) -> Any:
        """One touch from its end, an unordered write is done in part."""
        if self._fate.touches_left == 0:
            part = [each for each in swaps if self._fate.random.random() < 0.5]
            if part:
                await super().swap(part)
            self._fate.touch()
        return await super().swap(swaps)


class Crashing:
    """Any service, each of whose calls is a touch before and after."""

    def __init__(self, service: Any, fate: Fate) -> None:
        self._service = service
        self._fate = fate

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._service, name)

        async def call(*arguments: Any, **named: Any) -> Any:
            return await self._fate.around(lambda: method(*arguments, **named))

        return call
