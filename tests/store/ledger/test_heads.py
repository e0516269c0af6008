"""Heads kept apart: an end that was cut off, and a chain that was written anew, are found."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import ManualClock, Recorder
from tests.store.ledger.pointers import FIRST, pointer, segment

from blackstart.errors import StorageError
from blackstart.seed import Seed
from blackstart.store import ObjectStore
from blackstart.store.ledger import FileLedger, LedgerReading, LogProblem, ProblemKind, open_ledger
from blackstart.store.ledger.disk import LocalFile
from blackstart.store.ledger.heads import SIZE, Head, HeadFiles
from blackstart.store.ledger.line import START, Position, write_line
from blackstart.store.ledger.log import MAX_NOTES
from blackstart.store.pointers import LoggedPointer, PointerRecord
from blackstart.store.pointers.log import POINTERS

SUM = "a" * 32
Opened = Callable[..., AbstractAsyncContextManager[FileLedger[PointerRecord]]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def heads(tmp_path: Path) -> Path:
    return tmp_path / "heads"


@pytest.fixture
def opened(folder: Path, heads: Path, objects: ObjectStore, manual_clock: ManualClock) -> Opened:
    """Opens a ledger with heads, as a process does."""

    @asynccontextmanager
    async def make(events: Recorder | None = None) -> AsyncIterator[FileLedger[PointerRecord]]:
        async with open_ledger(
            POINTERS,
            folder,
            "control",
            objects,
            clock=manual_clock,
            seed=Seed(1),
            events=events or Recorder(),
            heads=heads,
        ) as ledger:
            yield ledger

    return make


async def problems(
    objects: ObjectStore, folder: Path, heads: Path | None
) -> tuple[int, list[LogProblem]]:
    reading = LedgerReading(POINTERS, LoggedPointer.at_line, objects, folder, heads)
    count = len([each async for each in reading])
    return count, reading.problems


def kinds(found: tuple[int, list[LogProblem]]) -> list[ProblemKind]:
    return [problem.kind for problem in found[1]]


async def test_a_whole_ledger_meets_its_heads(
    opened: Opened, objects: ObjectStore, folder: Path, heads: Path
) -> None:
    async with opened() as ledger:
        await ledger.record(pointer(1))
        assert await problems(objects, folder, heads) == (1, [])
        await ledger.record(pointer(2))
        assert await problems(objects, folder, heads) == (2, [])
    assert await problems(objects, folder, heads) == (2, [])
    assert len(await objects.list_keys("pointer-log/heads/")) == 1


async def test_an_end_that_was_cut_off_is_found(
    opened: Opened, objects: ObjectStore, folder: Path, heads: Path
) -> None:
    async with opened() as ledger:
        for number in (1, 2, 3):
            await ledger.record(pointer(number))
        (file,) = folder.glob("*.jsonl")
        kept = file.read_bytes().splitlines(keepends=True)
        file.write_bytes(b"".join(kept[:-1]))
        assert await problems(objects, folder, None) == (2, [])
        found = await problems(objects, folder, heads)
        assert kinds(found) == [ProblemKind.CUT_TAIL]
        assert "ends at number 3, its head stands at 4" in found[1][0].text
        file.write_bytes(b"".join(kept))


async def test_a_ledger_written_anew_is_found(
    opened: Opened, objects: ObjectStore, folder: Path, heads: Path
) -> None:
    async with opened() as ledger:
        for number in (1, 2, 3):
            await ledger.record(pointer(number))
        (file,) = folder.glob("*.jsonl")
        kept, name = file.read_bytes(), POINTERS.of_file(file.name)
        assert name is not None
        forged, _ = segment([pointer(n) for n in (1, 9, 3, 4)], name, closed=False)
        file.write_bytes(forged)
        assert (await problems(objects, folder, None))[1] == []
        assert kinds(await problems(objects, folder, heads)) == [ProblemKind.REWRITTEN]
        file.write_bytes(kept)


async def test_a_writer_that_is_gone_whole_is_found_by_its_head_in_the_object_store(
    opened: Opened, objects: ObjectStore, folder: Path, heads: Path
) -> None:
    async with opened() as ledger:
        await ledger.record(pointer(1))
    shutil.rmtree(heads)
    for file in folder.glob("*.jsonl"):
        file.unlink()
    keys = await objects.list_keys("pointer-log/")
    await objects.delete([key for key in keys if "heads" not in key])
    found = await problems(objects, folder, heads)
    assert kinds(found) == [ProblemKind.CUT_TAIL]
    assert "ends at number 0" in found[1][0].text


async def test_a_head_that_cannot_be_read_is_told(
    opened: Opened, objects: ObjectStore, folder: Path, heads: Path
) -> None:
    async with opened() as ledger:
        await ledger.record(pointer(1))
    (file,) = heads.glob("*.head")
    file.write_bytes(b"\0" * SIZE)
    assert kinds(await problems(objects, folder, heads)) == [ProblemKind.UNREADABLE]


async def test_a_process_that_died_left_a_head_that_is_right(
    opened: Opened, objects: ObjectStore, folder: Path, heads: Path
) -> None:
    async with opened() as ledger:
        for number in (1, 2):
            await ledger.record(pointer(number))
        crashed, apart = folder.with_name("crashed"), heads.with_name("crashed-heads")
        shutil.copytree(folder, crashed)
        shutil.copytree(heads, apart)
    stored = ObjectStore.open("memory://")
    assert await problems(stored, crashed, apart) == (2, [])
    (file,) = crashed.glob("*.jsonl")
    file.write_bytes(file.read_bytes() + b'{"seq":9,"torn')
    found = await problems(stored, crashed, apart)
    assert kinds(found) == [ProblemKind.TORN_LINE]


def test_a_head_is_of_one_size_and_comes_back_as_it_was(heads: Path) -> None:
    files = HeadFiles(heads)
    for seq in (10**9, 7):
        head = Head(FIRST, Position(seq, SUM))
        files.keep(head)
        ((_, data),) = files.read()
        assert len(data) == SIZE
        assert Head.decode(POINTERS, data) == head


@pytest.mark.parametrize("data", [b"", b"{}", b'{"writer":1}', write_line({"writer": 1}, START)[0]])
def test_what_is_no_head_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"^it "):
        Head.decode(POINTERS, data)


async def test_a_note_is_there_soon_and_before_what_is_recorded_after_it(
    opened: Opened, objects: ObjectStore, folder: Path, heads: Path
) -> None:
    async with opened() as ledger:
        ledger.note(pointer(1))
        ledger.note(pointer(2))
        await ledger.record(pointer(3))
        reading = LedgerReading(POINTERS, LoggedPointer.at_line, objects, folder, heads)
        assert [each.number async for each in reading] == [1, 2, 3]
        ledger.note(pointer(4))
    assert (await problems(objects, folder, heads))[0] == 4


async def test_notes_alone_are_written_without_anybody_waiting(
    opened: Opened, objects: ObjectStore, folder: Path, heads: Path, until: Any
) -> None:
    async with opened() as ledger:
        ledger.note(pointer(1))
        await until(lambda: any(b"5170d1" in each.read_bytes() for each in folder.glob("*.jsonl")))


async def test_a_note_fails_while_nothing_can_be_written_and_not_after_that(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: LocalFile, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    async with opened() as ledger:
        await ledger.record(pointer(1))
        with monkeypatch.context() as patch:
            patch.setattr(LocalFile, "write", full)
            with pytest.raises(StorageError):
                await ledger.record(pointer(2))
            with pytest.raises(StorageError, match="No space left"):
                ledger.note(pointer(3))
        await ledger.record(pointer(4))
        ledger.note(pointer(5))


async def test_notes_that_nobody_can_write_are_bounded(opened: Opened) -> None:
    async with opened() as ledger:
        with pytest.raises(StorageError, match="not written fast enough"):
            for number in range(MAX_NOTES + 1):
                ledger.note(pointer(number))
        await asyncio.sleep(0)
