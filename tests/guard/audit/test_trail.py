"""The audit trail: on the disk before anything runs, and every change to it is found."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from blackstart.errors import StorageError
from blackstart.guard.audit import (
    AuditLine,
    AuditReading,
    AuditTrail,
    Wanted,
    lines_of,
    open_trail,
    read_trail,
)
from blackstart.seed import Seed
from blackstart.store import ObjectStore
from blackstart.store.ledger import ProblemKind
from blackstart.store.ledger.disk import LocalFile


@dataclass
class Place:
    """Where a trail lies."""

    folder: Path
    heads: Path
    objects: ObjectStore

    def reading(self) -> AuditReading:
        return read_trail(self.objects, self.folder, self.heads)

    async def lines(self) -> list[AuditLine]:
        """All lines of a trail that must be whole."""
        reading = self.reading()
        found = [line async for line in reading]
        assert reading.problems == []
        return found

    async def problems(self) -> set[ProblemKind]:
        reading = self.reading()
        async for _ in reading:
            pass
        return {problem.kind for problem in reading.problems}

    def copy(self, name: str) -> Place:
        """As it would be found on this machine's disk, with the object store gone."""
        folder, heads = self.folder.with_name(name), self.heads.with_name(f"{name}-heads")
        shutil.copytree(self.folder, folder)
        shutil.copytree(self.heads, heads)
        return Place(folder, heads, ObjectStore.open("memory://"))


Opened = Callable[[], AbstractAsyncContextManager[AuditTrail]]


@pytest.fixture
def place(tmp_path: Path, objects: ObjectStore) -> Place:
    return Place(tmp_path / "audit", tmp_path / "heads", objects)


@pytest.fixture
def opened(place: Place, manual_clock: Any) -> Opened:
    @asynccontextmanager
    async def make() -> AsyncIterator[AuditTrail]:
        def events(action: str, subject: str, **details: Any) -> None: ...

        async with open_trail(
            place.folder,
            place.heads,
            "guard",
            place.objects,
            clock=manual_clock,
            seed=Seed(1),
            events=events,
        ) as trail:
            yield trail

    return make


async def test_a_line_is_on_the_disk_when_record_returns(opened: Opened, place: Place) -> None:
    async with opened() as trail:
        await trail.record("write.sent", login="ada", request=7, digest="d")
        (line,) = await place.copy("crashed").lines()
    assert (line.action, line.details) == (
        "write.sent",
        {"login": "ada", "request": 7, "digest": "d"},
    )
    assert line.row()["at"].endswith("Z")


async def test_closed_segments_and_heads_are_in_the_object_store(
    opened: Opened, place: Place
) -> None:
    async with opened() as trail:
        await trail.record("write.sent", request=7)
    keys = await place.objects.list_keys("audit/")
    assert len(keys) == 2
    elsewhere = read_trail(place.objects)
    assert [line.action async for line in elsewhere] == ["write.sent"]
    assert elsewhere.problems == []


async def test_a_closed_segment_that_is_gone_is_found_from_elsewhere(
    opened: Opened, place: Place
) -> None:
    async with opened() as trail:
        await trail.record("write.sent", request=7)
    keys = await place.objects.list_keys("audit/")
    await place.objects.delete([key for key in keys if "heads" not in key])
    elsewhere = read_trail(place.objects)
    assert [line async for line in elsewhere] == []
    assert [problem.kind for problem in elsewhere.problems] == [ProblemKind.CUT_TAIL]


async def test_lines_are_found_by_who_what_when_and_request(
    opened: Opened, place: Place, manual_clock: Any
) -> None:
    async with opened() as trail:
        await trail.record("write.held", login="ada", request=1)
        trail.note("command.passed", login="bob")
        manual_clock.advance(60)
        await trail.record("write.sent", login="ada", request=2)

    async def found(wanted: Wanted) -> list[str]:
        return [line.action async for line in lines_of(place.reading(), wanted)]

    assert await found(Wanted()) == ["write.held", "command.passed", "write.sent"]
    assert await found(Wanted(login="bob")) == ["command.passed"]
    assert await found(Wanted(request=2)) == ["write.sent"]
    assert await found(Wanted(action="write")) == ["write.held", "write.sent"]
    since = manual_clock.now() - timedelta(seconds=30)
    assert await found(Wanted(since=since)) == ["write.sent"]


async def test_a_disk_that_fails_lets_nothing_be_recorded(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: LocalFile, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    async with opened() as trail:
        await trail.record("write.sent", request=1)
        with monkeypatch.context() as patch:
            patch.setattr(LocalFile, "write", full)
            with pytest.raises(StorageError, match="nothing runs that is not on record"):
                await trail.record("write.sent", request=2)
            with pytest.raises(StorageError):
                trail.note("command.passed")


async def test_every_change_to_any_line_is_found(opened: Opened, place: Place) -> None:
    async with opened() as trail:
        for number in range(6):
            await trail.record("write.sent", request=number, login="ada")
        spare = place.copy("spare")
    assert len(await spare.lines()) == 6
    (file,) = spare.folder.glob("*.jsonl")
    lines = file.read_bytes().splitlines(keepends=True)

    async def found(changed: list[bytes]) -> set[ProblemKind]:
        file.write_bytes(b"".join(changed))
        return await spare.problems()

    for number, line in enumerate(lines):
        changed = (
            line.replace(b"ada", b"bob") if b"ada" in line else line.replace(b"guard", b"gu4rd")
        )
        assert await found([*lines[:number], changed, *lines[number + 1 :]]), f"changed {number}"
        assert await found([*lines[:number], *lines[number + 1 :]]), f"removed {number}"
        assert await found([*lines[: number + 1], *lines[number:]]), f"doubled {number}"
        assert await found(lines[:number]), f"cut before {number}"
    for number in range(len(lines) - 1):
        swapped = [*lines]
        swapped[number : number + 2] = swapped[number + 1], swapped[number]
        assert await found(swapped), f"swapped {number}"
    assert await found(lines) == set()
    assert await found(lines[:-1]) == {ProblemKind.CUT_TAIL}


async def test_a_line_with_a_field_of_its_own_is_a_programmers_mistake(opened: Opened) -> None:
    async with opened() as trail:
        with pytest.raises(AssertionError):
            await trail.record("write.sent", seq=1)


async def test_what_is_no_line_of_a_trail_is_told(opened: Opened, place: Place) -> None:
    async with opened() as trail:
        await trail.record("")
    assert await place.problems() == {ProblemKind.NOT_A_RECORD}
