"""The pointer log of a server: one sync for many, full disks, rotation, the orderly end."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.conftest import ManualClock, Recorder
from tests.store.ledger.pointers import FIRST, WRITER, pointer

from blackstart.errors import ConflictError, StorageError
from blackstart.seed import Seed
from blackstart.store import ObjectStore
from blackstart.store.ledger.claim import claim_writer, writers_in
from blackstart.store.ledger.disk import LocalDisk, LocalFile
from blackstart.store.ledger.log import SEGMENT_AGE_S
from blackstart.store.ledger.writer import SegmentWriter
from blackstart.store.pointers import FilePointerLog, PointerRecord, read_pointer_log
from blackstart.store.pointers.log import POINTERS
from blackstart.store.pointers.opening import open_pointer_log

MANY = 50
Make = Callable[..., FilePointerLog]


@pytest.fixture
async def make_log(
    tmp_path: Path, objects: ObjectStore, manual_clock: ManualClock
) -> AsyncIterator[Make]:
    """Makes logs of one writer in one folder; ends their files afterwards."""
    made: list[FilePointerLog] = []

    def make(events: Recorder | None = None, **more: int) -> FilePointerLog:
        writer = SegmentWriter(LocalDisk(tmp_path), POINTERS, WRITER, manual_clock.now)
        made.append(
            FilePointerLog(writer, objects, clock=manual_clock, events=events or Recorder(), **more)
        )
        return made[-1]

    yield make
    for log in made:
        await log.close()


async def all_of(objects: ObjectStore, folder: Path | None = None) -> list[int]:
    """The deploy numbers in the log, which must have no problem."""
    reading = read_pointer_log(objects, folder)
    found = [logged.number async for logged in reading]
    assert reading.problems == []
    return found


async def test_what_is_recorded_is_on_the_disk(
    make_log: Make, objects: ObjectStore, tmp_path: Path
) -> None:
    await make_log().record(pointer(1))
    assert await all_of(objects, tmp_path) == [1]


async def test_records_that_come_together_share_a_sync(
    make_log: Make, objects: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    sync = LocalFile.sync

    def counted(file: LocalFile) -> None:
        synced.append(threading.current_thread().name)
        sync(file)

    log = make_log()
    await log.record(pointer(1))
    monkeypatch.setattr(LocalFile, "sync", counted)
    await asyncio.gather(*(log.record(pointer(number)) for number in range(2, 2 + MANY)))
    assert len(synced) <= 2
    assert threading.main_thread().name not in synced, "the event loop waited for the disk"
    assert sorted(await all_of(objects, tmp_path)) == list(range(1, 2 + MANY))


async def test_nothing_is_acknowledged_before_it_is_synced(
    make_log: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = make_log()
    await log.record(pointer(1))
    synced = threading.Event()
    reached = threading.Event()
    sync = LocalFile.sync

    def held(file: LocalFile) -> None:
        reached.set()
        synced.wait()
        sync(file)

    monkeypatch.setattr(LocalFile, "sync", held)
    recording = asyncio.ensure_future(log.record(pointer(2)))
    await asyncio.to_thread(reached.wait)
    assert not recording.done()
    synced.set()
    await recording


async def test_a_full_disk_is_one_clear_error_and_the_log_goes_on_when_there_is_room(
    make_log: Make, objects: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = LocalFile.write

    def full(file: LocalFile, data: bytes) -> None:
        write(file, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    log = make_log()
    await log.record(pointer(1))
    with monkeypatch.context() as patch:
        patch.setattr(LocalFile, "write", full)
        for number in (2, 3):
            with pytest.raises(StorageError, match="cannot be written: No space left on device"):
                await log.record(pointer(number))
    await log.record(pointer(4))
    assert await all_of(objects, tmp_path) == [1, 4]
    assert (tmp_path / FIRST.file).read_bytes().count(b"\n") == 3


async def test_each_who_waits_for_a_disk_that_fails_gets_an_error_of_his_own(
    make_log: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(file: LocalFile) -> None:
        raise OSError(errno.EIO, "Input/output error")

    log = make_log()
    await log.record(pointer(1))
    monkeypatch.setattr(LocalFile, "sync", broken)
    several = (log.record(pointer(number)) for number in range(2, 8))
    errors = await asyncio.gather(*several, return_exceptions=True)
    assert {type(error) for error in errors} == {StorageError}
    assert len({id(error) for error in errors}) == 6
    monkeypatch.undo()


async def test_one_who_gives_up_waiting_takes_nothing_from_the_others(
    make_log: Make, objects: ObjectStore, tmp_path: Path
) -> None:
    log = make_log()
    first, second = (asyncio.ensure_future(log.record(pointer(number))) for number in (1, 2))
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert 2 in await all_of(objects, tmp_path)


async def test_an_error_that_nobody_expected_leaves_nobody_waiting(
    make_log: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mistaken(writer: SegmentWriter, records: list[PointerRecord]) -> None:
        raise TypeError("a mistake")

    log = make_log()
    monkeypatch.setattr(SegmentWriter, "append", mistaken)
    several = (log.record(pointer(number)) for number in range(3))
    errors = await asyncio.gather(*several, return_exceptions=True)
    assert {type(error) for error in errors} == {TypeError}
    assert log._writing is not None
    assert isinstance(log._writing.exception(), TypeError)


async def test_a_segment_that_is_large_enough_is_moved(
    make_log: Make, objects: ObjectStore, tmp_path: Path
) -> None:
    log = make_log(segment_bytes=1_500)
    for number in range(1, 21):
        await log.record(pointer(number))
    await log.close()
    assert len(writers_in(tmp_path, POINTERS)) == 1
    assert len(list(tmp_path.glob("*.jsonl"))) == 1
    assert len(await objects.list_keys("pointer-log/")) > 2
    assert await all_of(objects, tmp_path) == list(range(1, 21))


async def test_a_segment_that_is_old_enough_is_moved_and_an_empty_one_never(
    make_log: Make, objects: ObjectStore, manual_clock: ManualClock
) -> None:
    log = make_log()
    await log.record(pointer(1))
    manual_clock.advance(SEGMENT_AGE_S - 1)
    await log.look_after()
    assert await objects.list_keys("pointer-log/") == []
    manual_clock.advance(1)
    await log.look_after()
    assert await objects.list_keys("pointer-log/") == [FIRST.key]
    manual_clock.advance(10 * SEGMENT_AGE_S)
    await log.look_after()
    assert await objects.list_keys("pointer-log/") == [FIRST.key]


async def test_an_object_store_that_fails_delays_the_move_and_nothing_else(
    make_log: Make, objects: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(key: str, data: bytes) -> None:
        raise StorageError("the bucket is on fire")

    events = Recorder()
    log = make_log(events, segment_bytes=600)
    with monkeypatch.context() as patch:
        patch.setattr(objects, "put", failing)
        for number in range(1, 6):
            await log.record(pointer(number))
        await log.look_after()
    assert await all_of(objects, tmp_path) == [1, 2, 3, 4, 5]
    assert await objects.list_keys("pointer-log/") == []
    assert events.subjects("pointer_log.not_moved")
    await log.close()
    assert len(list(tmp_path.glob("*.jsonl"))) == 1
    assert await all_of(objects, tmp_path) == [1, 2, 3, 4, 5]


async def test_the_orderly_end_moves_all_there_is(make_log: Make, objects: ObjectStore) -> None:
    log = make_log()
    await log.record(pointer(1))
    await log.close()
    assert await all_of(objects) == [1]
    with pytest.raises(StorageError, match="closed"):
        await log.record(pointer(2))


async def test_the_orderly_end_waits_for_what_is_being_recorded(
    make_log: Make, objects: ObjectStore
) -> None:
    log = make_log()
    recording = [asyncio.ensure_future(log.record(pointer(number))) for number in (1, 2, 3)]
    await asyncio.sleep(0)
    await log.close()
    await asyncio.gather(*recording)
    assert await all_of(objects) == [1, 2, 3]


async def test_a_folder_that_was_lost_continues_the_chain_of_the_object_store(
    make_log: Make, objects: ObjectStore, tmp_path: Path
) -> None:
    log = make_log()
    await log.record(pointer(1))
    await log.close()
    for path in tmp_path.glob("*.jsonl"):
        path.unlink()
    again = make_log()
    await again.record(pointer(2))
    await again.close()
    assert await all_of(objects) == [1, 2]


async def test_what_a_crash_tore_is_told(make_log: Make, tmp_path: Path) -> None:
    await make_log().record(pointer(1))
    with (tmp_path / FIRST.file).open("ab") as file:
        file.write(b'{"seq":')
    events = Recorder()
    await make_log(events).start()
    assert events.happened == [
        ("pointer_log.torn", WRITER, {"segment": 1, "detail": "7 bytes"}),
    ]


async def opened_and_used(
    folder: Path, objects: ObjectStore, clock: ManualClock, *numbers: int, role: str = "control"
) -> None:
    async with open_pointer_log(
        folder, role, objects, clock=clock, seed=Seed(1), events=Recorder()
    ) as log:
        for number in numbers:
            await log.record(pointer(number))


async def test_a_server_takes_up_its_chain_again(
    tmp_path: Path, objects: ObjectStore, manual_clock: ManualClock
) -> None:
    await opened_and_used(tmp_path / "log", objects, manual_clock, 1, 2)
    await opened_and_used(tmp_path / "log", objects, manual_clock, 3)
    assert await all_of(objects, tmp_path / "log") == [1, 2, 3]
    assert len(writers_in(tmp_path / "log", POINTERS)) == 1


async def test_two_servers_of_one_role_are_two_writers(
    tmp_path: Path, objects: ObjectStore, manual_clock: ManualClock
) -> None:
    async with open_pointer_log(
        tmp_path, "worker", objects, clock=manual_clock, seed=Seed(1), events=Recorder()
    ) as log:
        await log.record(pointer(1))
        await opened_and_used(tmp_path, objects, manual_clock, 2, role="worker")
    first, second = writers_in(tmp_path, POINTERS)
    assert first.startswith("worker-1-")
    assert second == first.replace("-1-", "-2-")
    assert await all_of(objects, tmp_path) == [1, 2]


async def test_folders_that_share_an_object_store_have_different_writers(
    tmp_path: Path, objects: ObjectStore, manual_clock: ManualClock
) -> None:
    for number in (1, 2):
        async with open_pointer_log(
            tmp_path / str(number),
            "control",
            objects,
            clock=manual_clock,
            seed=Seed(number),
            events=Recorder(),
        ) as log:
            await log.record(pointer(number))
    assert sorted(await all_of(objects)) == [1, 2]
    assert len(await objects.list_keys("pointer-log/")) == 2


async def test_one_writer_s_file_is_one_process_s(tmp_path: Path) -> None:
    claim = claim_writer(tmp_path, WRITER)
    with pytest.raises(ConflictError, match=f"{WRITER} in .* is being written by another process"):
        claim_writer(tmp_path, WRITER)
    claim.release()
    claim_writer(tmp_path, WRITER).release()


async def test_what_a_dead_process_left_is_moved_by_another(
    make_log: Make, objects: ObjectStore, tmp_path: Path, clocked: ManualClock
) -> None:
    await make_log().record(pointer(1))
    async with open_pointer_log(
        tmp_path, "worker", objects, clock=clocked, seed=Seed(1), events=Recorder()
    ):
        pass
    assert await all_of(objects) == [1]


async def test_a_folder_that_cannot_be_made_is_a_clear_error(
    tmp_path: Path, objects: ObjectStore, manual_clock: ManualClock
) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StorageError, match="cannot write a pointer log in"):
        await opened_and_used(tmp_path / "file" / "log", objects, manual_clock, 1)


@pytest.fixture
def clocked() -> ManualClock:
    """A clock beside which one look is had at what is to be done."""

    class Once(ManualClock):
        def beside(self, name, story):  # type: ignore[no-untyped-def]
            return _once(story)

        async def sleep(self, seconds: float) -> None:
            raise asyncio.CancelledError

    return Once()


class _once:
    def __init__(self, story) -> None:  # type: ignore[no-untyped-def]
        self._story = story

    async def __aenter__(self) -> None:
        with pytest.raises(asyncio.CancelledError):
            await self._story

    async def __aexit__(self, *details: object) -> None:
        pass
