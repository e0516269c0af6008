"""The end of the audit trail: its newest lines, and those that came since."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

from blackstart.cli.audit_options import Trail
from blackstart.cli.ledgers import newest
from blackstart.guard.audit import AuditLine, AuditReading, Wanted, read_trail
from blackstart.store import ObjectStore
from blackstart.store.ledger import LogProblem
from blackstart.store.threads import in_thread


class Tail:
    """Remembers how far each writer's lines were read. Raises (all methods): StorageError."""

    def __init__(self, trail: Trail, wanted: Wanted) -> None:
        self._trail = trail
        self._wanted = wanted
        self._read: dict[str, int] = {}
        self._files: set[str] = set()

    async def newest(self, limit: int) -> tuple[list[AuditLine], int, list[LogProblem]]:
        """The newest lines, oldest first; how many older there are; the trail's problems."""
        self._files = await self._local_files()
        reading = self._trail.reading()
        found, older = await newest(self._unread(reading), limit, _age)
        return found[::-1], older, reading.problems

    async def news(self) -> list[AuditLine]:
        """The lines since, oldest first.

        New ones are in the local folder, until a segment is moved from there: then all is read.
        """
        before, self._files = self._files, await self._local_files()
        if self._trail.folder is not None and before <= self._files:
            reading = read_trail(ObjectStore.open("memory://"), self._trail.folder)
        else:
            reading = self._trail.reading()
        return sorted([line async for line in self._unread(reading)], key=_age)

    async def _unread(self, reading: AuditReading) -> AsyncIterator[AuditLine]:
        async for line in reading:
            if line.seq > self._read.get(line.writer, 0):
                self._read[line.writer] = line.seq
                if self._wanted.takes(line):
                    yield line

    async def _local_files(self) -> set[str]:
        if self._trail.folder is None:
            return set()
        return set(await in_thread("its folder cannot be read", os.listdir, self._trail.folder))


def _age(line: AuditLine) -> tuple[Any, ...]:
    return line.at, line.writer, line.seq
