"""Moving segments to the object store: read back, never over another one; and logs made there."""

from __future__ import annotations

import pytest
from tests.conftest import ManualClock
from tests.store.ledger.pointers import FIRST, WRITER, pointer, segment, segments

from blackstart.errors import ConflictError, StorageError
from blackstart.store import ObjectStore
from blackstart.store.ledger.line import START
from blackstart.store.ledger.objects import SEGMENT_RECORDS
from blackstart.store.ledger.shipping import ship, stored_end
from blackstart.store.pointers import ObjectPointerLog, read_pointer_log
from blackstart.store.pointers.log import POINTERS

DATA, LAST = segment([pointer(1), pointer(2)])


async def test_a_segment_may_be_moved_twice(objects: ObjectStore) -> None:
    await ship(objects, FIRST, DATA)
    await ship(objects, FIRST, DATA)
    assert await objects.get(FIRST.key) == DATA


async def test_a_segment_that_does_not_come_back_as_it_was_is_not_moved() -> None:
    class Forgetful(ObjectStore):
        async def put(self, key: str, data: bytes) -> None:
            await super().put(key, data[:-1])

    with pytest.raises(StorageError, match="did not come back"):
        await ship(Forgetful(ObjectStore.open("memory://").backend), FIRST, DATA)


async def test_another_whole_segment_is_never_written_over(objects: ObjectStore) -> None:
    other, _ = segment([pointer(9)])
    await ship(objects, FIRST, other)
    with pytest.raises(ConflictError, match="holds another segment 1"):
        await ship(objects, FIRST, DATA)
    assert await objects.get(FIRST.key) == other


@pytest.mark.parametrize("stored", [b"", DATA[:-20], DATA.replace(b"5170", b"5171")])
async def test_a_damaged_copy_is_written_anew(objects: ObjectStore, stored: bytes) -> None:
    await objects.put(FIRST.key, stored)
    await ship(objects, FIRST, DATA)
    assert await objects.get(FIRST.key) == DATA


async def test_a_writer_without_segments_stands_at_the_start(objects: ObjectStore) -> None:
    await objects.put("pointer-log/worker-1-0a1b2c3d/00000007.jsonl", DATA)
    assert await stored_end(objects, POINTERS, WRITER) == (0, START)


async def test_a_writer_stands_behind_its_last_readable_line(objects: ObjectStore) -> None:
    await ship(objects, FIRST, DATA)
    assert await stored_end(objects, POINTERS, WRITER) == (1, LAST)
    await objects.put(FIRST.next.key, b"damaged\n")
    assert await stored_end(objects, POINTERS, WRITER) == (2, LAST)


async def test_a_log_without_local_files_is_whole_after_each_record(
    objects: ObjectStore, manual_clock: ManualClock
) -> None:
    log = ObjectPointerLog(objects, WRITER, manual_clock)
    many = 2 * SEGMENT_RECORDS + 3
    for number in range(1, many + 1):
        await log.record(pointer(number))
        if number in (1, 2, SEGMENT_RECORDS, SEGMENT_RECORDS + 1, many):
            reading = read_pointer_log(objects)
            assert [found.number async for found in reading] == list(range(1, number + 1))
            assert reading.problems == []
    assert len(await objects.list_keys("pointer-log/")) == 3


async def test_a_second_log_of_the_same_writer_continues_the_chain(
    objects: ObjectStore, manual_clock: ManualClock
) -> None:
    for key, data in segments([pointer(1)]).items():
        await objects.put(key, data)
    await ObjectPointerLog(objects, WRITER, manual_clock).record(pointer(2))
    reading = read_pointer_log(objects)
    assert [found.number async for found in reading] == [1, 2]
    assert reading.problems == []


async def test_a_record_that_could_not_be_stored_is_not_in_the_log(
    objects: ObjectStore, manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(key: str, data: bytes) -> None:
        raise StorageError("the bucket is on fire")

    log = ObjectPointerLog(objects, WRITER, manual_clock)
    await log.record(pointer(1))
    with monkeypatch.context() as patch:
        patch.setattr(objects, "put", failing)
        with pytest.raises(StorageError):
            await log.record(pointer(2))
    await log.record(pointer(3))
    reading = read_pointer_log(objects)
    assert [found.number async for found in reading] == [1, 3]
    assert reading.problems == []
