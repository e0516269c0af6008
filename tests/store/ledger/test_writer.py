"""One writer's segments on the disk: what is there after a crash, a full disk, a deleted file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.store.ledger.pointers import FIRST, NOON, WRITER, pointer

from blackstart.store.ledger.disk import LocalDisk
from blackstart.store.ledger.line import START
from blackstart.store.ledger.segment import SegmentName, read_segment
from blackstart.store.ledger.writer import SegmentWriter
from blackstart.store.pointers.log import POINTERS
from blackstart.store.pointers.record import PointerRecord

SECOND = FIRST.next
Open = Callable[[], SegmentWriter]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """A writer as a process opens it at its start; an earlier one is as if killed."""
    made: list[SegmentWriter] = []

    def make() -> SegmentWriter:
        made.append(SegmentWriter(LocalDisk(tmp_path), POINTERS, WRITER, lambda: NOON))
        if not made[-1].resume():
            made[-1].begin(FIRST, START)
        return made[-1]

    yield make
    for writer in made:
        writer.close()


def numbers(folder: Path, name: SegmentName) -> list[int]:
    """The deploy numbers of a segment's records."""
    lines = read_segment(name, (folder / name.file).read_bytes()).lines.values()
    return [line.fields["number"] for line in lines if "tree" in line.fields]


@pytest.fixture
def writer(opened: Open) -> SegmentWriter:
    """One that has written two records."""
    writer = opened()
    writer.append([pointer(1)])
    writer.append([pointer(2)])
    return writer


def test_a_segment_is_nobody_elses(writer: SegmentWriter, tmp_path: Path) -> None:
    """The audit trail's lines hold values of documents."""
    assert (tmp_path / FIRST.file).stat().st_mode & 0o077 == 0


def test_a_segment_is_one_chain_from_its_header_on(writer: SegmentWriter, tmp_path: Path) -> None:
    text = read_segment(FIRST, (tmp_path / FIRST.file).read_bytes())
    assert text.sound
    assert text.headed
    assert not text.ended
    assert [PointerRecord.from_fields(text.lines[place].fields) for place in (2, 3)] == [
        pointer(1),
        pointer(2),
    ]


def test_a_rotated_segment_is_ended_and_the_next_one_continues_its_chain(
    writer: SegmentWriter, tmp_path: Path
) -> None:
    writer.rotate()
    writer.append([pointer(3)])
    first, second = (
        read_segment(name, (tmp_path / name.file).read_bytes()) for name in (FIRST, SECOND)
    )
    assert first.ended
    assert first.last is not None
    assert second.sound
    assert second.lines[1].after == first.last.sum
    assert writer.closed() == [FIRST]


def test_a_writer_goes_on_where_it_was_killed(
    opened: Open, writer: SegmentWriter, tmp_path: Path
) -> None:
    again = opened()
    again.append([pointer(3)])
    assert read_segment(FIRST, (tmp_path / FIRST.file).read_bytes()).sound
    assert numbers(tmp_path, FIRST) == [1, 2, 3]
    assert again.findings == []


@pytest.mark.parametrize("torn", [b'{"seq":4,"at":"2017', b"\0" * 300, b"x"])
def test_a_torn_last_line_is_reported_and_dropped(
    opened: Open, writer: SegmentWriter, tmp_path: Path, torn: bytes
) -> None:
    with (tmp_path / FIRST.file).open("ab") as file:
        file.write(torn)
    again = opened()
    again.append([pointer(3)])
    text = read_segment(FIRST, (tmp_path / FIRST.file).read_bytes())
    assert text.sound
    assert text.torn == b""
    assert numbers(tmp_path, FIRST) == [1, 2, 3]
    assert [finding.what for finding in again.findings] == ["torn"]


@pytest.mark.parametrize("left", [b"", b'{"seq":1,"pointer'])
def test_a_crash_before_the_first_header_was_whole_is_as_if_it_had_not_begun(
    opened: Open, tmp_path: Path, left: bytes
) -> None:
    (tmp_path / FIRST.file).write_bytes(left)
    writer = opened()
    writer.append([pointer(1)])
    assert numbers(tmp_path, FIRST) == [1]


class Folder(LocalDisk):
    """Fails at the first sync of the folder, and counts the others."""

    syncs = 0

    def sync(self) -> None:
        self.syncs += 1
        if self.syncs == 1:
            raise OSError(28, "No space left on device")
        super().sync()


def test_a_segment_that_the_folder_may_not_name_is_named_for_sure_before_it_is_gone_on_with(
    tmp_path: Path,
) -> None:
    disk = Folder(tmp_path)
    writer = SegmentWriter(disk, POINTERS, WRITER, lambda: NOON)
    with pytest.raises(OSError, match="No space"):
        writer.begin(FIRST, START)
    assert writer.resume()
    assert disk.syncs == 2
    writer.close()


def test_a_crash_before_the_next_header_was_whole_continues_the_chain(
    opened: Open, writer: SegmentWriter, tmp_path: Path
) -> None:
    writer.rotate()
    whole = (tmp_path / SECOND.file).read_bytes()
    (tmp_path / SECOND.file).write_bytes(whole[:20])
    opened()
    assert (tmp_path / SECOND.file).read_bytes() == whole


def test_a_crash_between_two_segments_continues_the_chain(
    opened: Open, writer: SegmentWriter, tmp_path: Path
) -> None:
    writer.rotate()
    whole = (tmp_path / SECOND.file).read_bytes()
    (tmp_path / SECOND.file).unlink()
    opened()
    assert (tmp_path / SECOND.file).read_bytes() == whole


def test_a_damaged_segment_is_left_as_it_is_and_a_new_one_begun(
    opened: Open, writer: SegmentWriter, tmp_path: Path
) -> None:
    data = (tmp_path / FIRST.file).read_bytes().replace(b'"number":1,', b'"number":9,')
    (tmp_path / FIRST.file).write_bytes(data)
    again = opened()
    again.append([pointer(3)])
    assert (tmp_path / FIRST.file).read_bytes() == data
    assert numbers(tmp_path, SECOND) == [3]
    assert [finding.what for finding in again.findings] == ["damaged"]


def test_a_segment_deleted_under_a_writer_is_reported_and_a_new_one_begun(
    writer: SegmentWriter, tmp_path: Path
) -> None:
    (tmp_path / FIRST.file).unlink()
    writer.append([pointer(3)])
    assert numbers(tmp_path, SECOND) == [3]
    assert [finding.what for finding in writer.findings] == ["gone"]


def test_files_of_others_are_left_alone(writer: SegmentWriter, tmp_path: Path) -> None:
    (tmp_path / POINTERS.segment("worker-1-0a1b2c3d", 7).file).write_bytes(b"theirs")
    (tmp_path / "notes.txt").write_bytes(b"mine")
    assert writer.segments() == [FIRST]
