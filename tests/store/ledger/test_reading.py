"""Reading a pointer log: every change to it is noticed and named, and all else is still read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.store.ledger.pointers import FIRST, WRITER, pointer, segment, segments

from blackstart.errors import StorageError
from blackstart.store import ObjectStore
from blackstart.store.ledger.claim import claim_writer
from blackstart.store.ledger.segment import SegmentName
from blackstart.store.pointers import LogProblem, ProblemKind, newest_pointers, read_pointer_log

SECOND, THIRD = FIRST.next, FIRST.next.next
RUNS = [[pointer(n) for n in run] for run in ((1, 2, 3), (4, 5, 6), (7, 8, 9))]
LOG = segments(*RUNS)


async def read(
    stored: Mapping[str, bytes],
    local: Mapping[str, bytes] | None = None,
    folder: Path | None = None,
) -> tuple[list[int], list[LogProblem]]:
    """The deploy numbers and the problems of a log, given by keys and by file names."""
    objects = ObjectStore.open("memory://")
    for key, data in stored.items():
        await objects.put(key, data)
    for name, data in (local or {}).items():
        assert folder is not None
        (folder / name).write_bytes(data)
    reading = read_pointer_log(objects, folder)
    return [found.number async for found in reading], reading.problems


def with_lines(name: SegmentName, *places: int) -> dict[str, bytes]:
    """The log with a segment made of these of its lines, from 1, in this order."""
    lines = LOG[name.key].splitlines(keepends=True)
    return {**LOG, name.key: b"".join(lines[place - 1] for place in places)}


def told(problems: list[LogProblem]) -> list[tuple[ProblemKind, int | None]]:
    return [(problem.kind, problem.segment) for problem in problems]


async def test_a_whole_log_is_read_in_order_and_without_a_problem() -> None:
    assert await read(LOG) == (list(range(1, 10)), [])


async def test_an_empty_log_has_no_problem() -> None:
    assert await read({}) == ([], [])


async def test_several_writers_are_read_one_after_the_other() -> None:
    other = segments([pointer(20)], writer="worker-1-0a1b2c3d")
    assert await read({**other, **LOG}) == ([*range(1, 10), 20], [])


@pytest.mark.parametrize("place", [1, 2, 3, 4, 5])
async def test_a_removed_line_is_named(place: int) -> None:
    left = [1, 2, 3, 4, 5]
    left.remove(place)
    numbers, problems = await read(with_lines(SECOND, *left))
    assert len(numbers) == 9 - (place in (2, 3, 4))
    assert problems[-1].kind is ProblemKind.MISSING_LINES
    after = THIRD if place == 5 else SECOND
    assert problems[-1].segment == after.number
    assert f"behind number {5 + place - 1}" in problems[-1].text


async def test_an_end_that_is_missing_is_named_even_in_the_last_segment() -> None:
    numbers, problems = await read(with_lines(THIRD, 1, 2, 3))
    assert numbers == list(range(1, 9))
    assert told(problems) == [(ProblemKind.CUT_SHORT, 3)]


async def test_a_changed_line_is_named_and_the_others_are_read() -> None:
    data = LOG[SECOND.key].replace(b'"number":5,', b'"number":6,')
    numbers, problems = await read({**LOG, SECOND.key: data})
    assert numbers == [1, 2, 3, 4, 6, 7, 8, 9]
    assert told(problems) == [(ProblemKind.DAMAGED_LINE, 2)]
    assert problems[0].text.startswith(f"line 3 of segment 2 of {WRITER} is damaged")


async def test_many_changed_lines_are_counted() -> None:
    log = segments([pointer(n) for n in range(1, 31)])
    data = log[FIRST.key].replace(b'"files"', b'"fires"')
    numbers, problems = await read({FIRST.key: data})
    assert numbers == []
    assert len(problems) == 11
    assert problems[-1].text.startswith("20 more lines")


async def test_lines_in_another_order_are_named_and_read() -> None:
    numbers, problems = await read(with_lines(SECOND, 1, 2, 4, 3, 5))
    assert numbers == list(range(1, 10))
    assert told(problems) == [(ProblemKind.MISPLACED_LINE, 2)]
    assert "line 4 of segment 2" in problems[0].text


async def test_a_line_that_stands_there_twice_is_named_and_read_once() -> None:
    numbers, problems = await read(with_lines(SECOND, 1, 2, 3, 3, 4, 5))
    assert numbers == list(range(1, 10))
    assert told(problems) == [(ProblemKind.MISPLACED_LINE, 2)]


async def test_a_line_made_anew_with_a_right_checksum_breaks_the_chain() -> None:
    forged, _ = segment(
        [pointer(4), pointer(5, tree="f" * 64), pointer(6)], SECOND, _end_of_first()
    )
    lines, others = LOG[SECOND.key].splitlines(True), forged.splitlines(True)
    data = b"".join([*lines[:2], others[2], *lines[3:]])
    numbers, problems = await read({**LOG, SECOND.key: data})
    assert numbers == list(range(1, 10))
    assert told(problems) == [(ProblemKind.BROKEN_CHAIN, 2)]
    assert "line 4 of segment 2" in problems[0].text


def _end_of_first():  # type: ignore[no-untyped-def]
    return segment(RUNS[0])[1]


async def test_a_segment_written_anew_breaks_the_chain_behind_it() -> None:
    forged, _ = segment(
        [pointer(4), pointer(5, tree="f" * 64), pointer(6)], SECOND, _end_of_first()
    )
    _, problems = await read({**LOG, SECOND.key: forged})
    assert told(problems) == [(ProblemKind.BROKEN_CHAIN, 3)]


@pytest.mark.parametrize("missing", [FIRST, SECOND])
async def test_a_missing_segment_is_named_with_what_it_held(missing: SegmentName) -> None:
    numbers, problems = await read({key: LOG[key] for key in LOG if key != missing.key})
    assert numbers == [n for n in range(1, 10) if (n - 1) // 3 != missing.number - 1]
    assert told(problems) == [(ProblemKind.MISSING_SEGMENT, missing.number + 1)]
    first = 5 * missing.number - 4
    assert problems[0].text == (
        f"segment {missing.number} is missing from {WRITER} (numbers {first} to {first + 4})"
    )


async def test_two_missing_segments_are_one_problem() -> None:
    _, problems = await read({THIRD.key: LOG[THIRD.key]})
    assert [problem.text for problem in problems] == [
        f"segments 1 to 2 are missing from {WRITER} (numbers 1 to 10)"
    ]


async def test_a_segment_under_another_name_is_named() -> None:
    _, problems = await read({**LOG, THIRD.next.key: LOG[SECOND.key]})
    assert (ProblemKind.BROKEN_CHAIN, 4) in told(problems)


async def test_an_object_cut_in_the_middle_of_a_line_is_named() -> None:
    numbers, problems = await read({**LOG, THIRD.key: LOG[THIRD.key][:-30]})
    assert numbers == list(range(1, 10))
    assert told(problems) == [(ProblemKind.CUT_SHORT, 3)]


async def test_an_empty_object_is_named() -> None:
    _, problems = await read({**LOG, THIRD.key: b""})
    assert {kind for kind, number in told(problems)} == {
        ProblemKind.BROKEN_CHAIN,
        ProblemKind.CUT_SHORT,
    }


async def test_an_open_segment_in_the_folder_continues_those_in_the_object_store(
    tmp_path: Path,
) -> None:
    last = segment(RUNS[0])[1]
    data, _ = segment([pointer(4)], SECOND, last, closed=False)
    stored = {FIRST.key: LOG[FIRST.key]}
    assert await read(stored, {SECOND.file: data}, tmp_path) == ([1, 2, 3, 4], [])


async def test_a_torn_last_line_is_named_unless_it_is_being_written(tmp_path: Path) -> None:
    data, _ = segment([pointer(1)], closed=False)
    local = {FIRST.file: data + b'{"seq":'}
    numbers, problems = await read({}, local, tmp_path)
    assert numbers == [1]
    assert told(problems) == [(ProblemKind.TORN_LINE, 1)]
    claim = claim_writer(tmp_path, WRITER)
    assert await read({}, local, tmp_path) == ([1], [])
    claim.release()


async def test_a_segment_that_is_here_and_there_is_read_once(tmp_path: Path) -> None:
    local = {FIRST.file: LOG[FIRST.key]}
    assert await read(LOG, local, tmp_path) == (list(range(1, 10)), [])


async def test_a_segment_that_is_moved_while_it_is_looked_for_is_found(tmp_path: Path) -> None:
    class Moving(ObjectStore):
        async def list_keys(self, prefix: str) -> list[str]:
            keys = await super().list_keys(prefix)
            if FIRST.key.startswith(prefix):
                await self.put(FIRST.key, LOG[FIRST.key])
                (tmp_path / FIRST.file).unlink()
            return keys

    (tmp_path / FIRST.file).write_bytes(LOG[FIRST.key])
    reading = read_pointer_log(Moving(ObjectStore.open("memory://").backend), tmp_path)
    assert [found.number async for found in reading] == [1, 2, 3]
    assert reading.problems == []


async def test_of_two_copies_that_differ_all_is_read(tmp_path: Path) -> None:
    damaged = LOG[SECOND.key].replace(b'"number":5,', b'"number":6,')
    numbers, problems = await read(
        {**LOG, SECOND.key: damaged}, {SECOND.file: LOG[SECOND.key]}, tmp_path
    )
    assert numbers == list(range(1, 10))
    assert told(problems) == [(ProblemKind.DIFFERING_COPIES, 2)]


async def test_two_writers_of_one_name_are_named_and_both_are_read(tmp_path: Path) -> None:
    other, _ = segment([pointer(91), pointer(92)])
    numbers, problems = await read({FIRST.key: LOG[FIRST.key]}, {FIRST.file: other}, tmp_path)
    assert sorted(numbers) == [1, 2, 3, 91, 92]
    assert told(problems) == [(ProblemKind.DIFFERING_COPIES, 1)]


async def test_an_object_store_that_fails_leaves_what_is_in_the_folder(tmp_path: Path) -> None:
    class Failing(ObjectStore):
        async def list_keys(self, prefix: str) -> list[str]:
            raise StorageError("the bucket is on fire")

    data, _ = segment([pointer(4)], SECOND, _end_of_first(), closed=False)
    (tmp_path / SECOND.file).write_bytes(data)
    reading = read_pointer_log(Failing(ObjectStore.open("memory://").backend), tmp_path)
    assert [found.number async for found in reading] == [4]
    assert [(each.kind, each.writer) for each in reading.problems] == [
        (ProblemKind.UNREADABLE, None)
    ]


async def test_one_object_that_cannot_be_read_is_the_only_problem() -> None:
    class Failing(ObjectStore):
        async def get(self, key: str) -> bytes:
            if key == SECOND.key:
                raise StorageError("a disk is on fire")
            return await super().get(key)

    objects = Failing(ObjectStore.open("memory://").backend)
    for key, data in LOG.items():
        await objects.put(key, data)
    reading = read_pointer_log(objects)
    assert [found.number async for found in reading] == [1, 2, 3, 7, 8, 9]
    assert told(reading.problems) == [(ProblemKind.UNREADABLE, 2)]


async def test_a_folder_that_is_not_there_is_a_part_that_could_not_be_looked_at(
    tmp_path: Path,
) -> None:
    reading = read_pointer_log(ObjectStore.open("memory://"), tmp_path / "nowhere")
    assert [found async for found in reading] == []
    assert told(reading.problems) == [(ProblemKind.UNREADABLE, None)]


async def test_the_newest_pointer_of_a_deploy_counts() -> None:
    objects = ObjectStore.open("memory://")
    again = pointer(10, deploy_id="5170d4", tree="a" * 64)
    for key, data in segments([pointer(4), again], [pointer(5)]).items():
        await objects.put(key, data)
    found = await newest_pointers(read_pointer_log(objects), {"5170d4", "unknown"})
    assert {key: each.tree for key, each in found.items()} == {"5170d4": "a" * 64}


@given(data=st.data())
async def test_any_byte_that_changes_is_noticed_and_at_most_two_records_are_lost(
    data: st.DataObject,
) -> None:
    key = data.draw(st.sampled_from(sorted(LOG)))
    changed = bytearray(LOG[key])
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    numbers, problems = await read({**LOG, key: bytes(changed)})
    assert problems
    assert len(numbers) >= 7, "a newline that goes takes two lines with it"


@given(data=st.data())
async def test_any_stretch_that_is_cut_out_is_noticed(data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(LOG)))
    whole = LOG[key]
    start = data.draw(st.integers(0, len(whole) - 1))
    end = data.draw(st.integers(start + 1, len(whole)))
    numbers, problems = await read({**LOG, key: whole[:start] + whole[end:]})
    assert problems
    assert set(numbers) <= set(range(1, 10))
