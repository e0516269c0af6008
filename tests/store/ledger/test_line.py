"""Lines of the pointer log: what is written is read, and nothing else is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.store.ledger.pointers import pointer

from blackstart.store.ledger.line import START, read_line, write_line
from blackstart.store.pointers.record import PointerRecord, read_time

RECORDS = st.builds(
    PointerRecord,
    at=st.datetimes(timezones=st.timezones()).map(
        lambda at: read_time(at.isoformat("T", "milliseconds"))
    ),
    site_id=st.text(min_size=1),
    deploy_id=st.text(min_size=1),
    number=st.integers(min_value=0),
    commit_ref=st.none() | st.text(),
    tree=st.text(min_size=1),
    previous=st.none() | st.text(),
    file_count=st.integers(min_value=0),
    byte_count=st.integers(min_value=0),
)
LINE, POSITION = write_line(pointer(7).fields(), START)


@given(RECORDS)
def test_a_record_is_read_as_it_was_written(record: PointerRecord) -> None:
    line, position = write_line(record.fields(), START)
    read = read_line(line[:-1])
    assert PointerRecord.from_fields(read.fields) == record
    assert (read.position, read.after) == (position, START.sum)


@given(RECORDS)
def test_whatever_a_record_holds_it_is_one_line_of_plain_characters(record: PointerRecord) -> None:
    line, _ = write_line(record.fields(), START)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert line.isascii()


def test_a_line_is_json_that_begins_with_what_a_person_looks_for() -> None:
    fields = json.loads(LINE)
    assert list(fields)[:4] == ["seq", "at", "site", "deploy"]
    assert fields["at"] == "2017-02-02T12:00:07.000Z"


@given(st.integers(0, len(LINE) - 2), st.integers(0, 255))
def test_a_line_with_another_byte_is_not_believed(place: int, byte: int) -> None:
    changed = bytearray(LINE[:-1])
    if changed[place] == byte:
        return
    changed[place] = byte
    with pytest.raises(ValueError, match=r"checksum|not a line"):
        read_line(bytes(changed))


@given(st.integers(0, len(LINE) - 2))
def test_a_part_of_a_line_is_not_believed(size: int) -> None:
    with pytest.raises(ValueError, match="not a line"):
        read_line(LINE[:size])


@given(st.binary(max_size=200))
def test_other_bytes_are_not_believed(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a line"):
        read_line(data)


@pytest.mark.parametrize("name", ["site", "deploy", "number", "tree", "files", "bytes", "at"])
@pytest.mark.parametrize("value", [None, -1, [], True, ""])
def test_a_line_that_lacks_what_a_record_needs_is_no_record(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"is|no time"):
        PointerRecord.from_fields({**pointer(1).fields(), name: value})


def test_a_time_without_a_zone_is_no_time() -> None:
    with pytest.raises(ValueError, match="zone"):
        PointerRecord.from_fields({**pointer(1).fields(), "at": "2017-02-02T12:00:00"})


def test_each_line_names_the_one_before() -> None:
    second, _ = write_line(pointer(8).fields(), POSITION)
    read = read_line(second[:-1])
    assert read.after == POSITION.sum
    assert read.position.seq == 2
