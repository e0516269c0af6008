"""Tests of plan files: any change is noticed, and damage of any kind can be written down."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import Binary, Decimal128, Int64, ObjectId, Regex, Timestamp
from hypothesis import given
from hypothesis import strategies as st

from blackstart.errors import ConflictError, NotFoundError, UsageError
from blackstart.recovery.exact import TOLERANT, from_json, same, to_json
from blackstart.recovery.plan import Entry, Header, PlanFile, SourceNote
from blackstart.recovery.plan.file import encode_entry, write_plan
from blackstart.recovery.sources import Route

AT = datetime(2017, 2, 2, 17, 17, tzinfo=UTC)
HEADER = Header(
    "p1", "blackstart", AT, 2, {"snapshot": 2}, [SourceNote("snapshot s1", "snapshot", ["torn"])]
)


def entry(number: int) -> Entry:
    return Entry(
        deploy_id=f"d{number}",
        site_id="s",
        site="docs",
        plan="pro",
        number=number,
        shown=False,
        route=Route.SNAPSHOT,
        source="snapshot s1",
        before={"state": "ready", "metadata": {"n": Int64(number)}},
        after={"metadata": {"completed_at": AT}},
        evidence=["as it was"],
    )


def written(folder: Path, count: int = 2) -> Path:
    path = folder / "plan.json"
    write_plan(path, HEADER, (encode_entry(entry(number)) for number in range(count)))
    return path


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_plan_is_read_back_as_it_was_written(tmp_path: Path, count: int) -> None:
    with PlanFile(written(tmp_path, count)) as plan:
        assert plan.header == HEADER
        for _ in range(2):
            assert list(plan.entries()) == [entry(number) for number in range(count)]


def test_a_plan_with_any_byte_changed_cut_off_or_added_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    data = path.read_bytes()
    damaged = [data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] for at in range(len(data))]
    damaged += [data[:at] for at in range(0, len(data), 7)]
    damaged += [data + b"\n", data + b"{}", b"\n" + data, data.replace(b'"d1"', b'"d0"')]
    for each in damaged:
        path.write_bytes(each)
        with pytest.raises(ConflictError, match="plan"):
            PlanFile(path)
    path.write_bytes(data)
    PlanFile(path).__exit__()


def test_an_entry_that_was_taken_out_with_a_line_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path, 3)
    lines = path.read_bytes().splitlines(keepends=True)
    for at in range(len(lines)):
        path.write_bytes(b"".join(lines[:at] + lines[at + 1 :]))
        with pytest.raises(ConflictError):
            PlanFile(path)


def test_a_plan_is_never_overwritten_and_a_missing_one_is_named(tmp_path: Path) -> None:
    path = written(tmp_path)
    with pytest.raises(UsageError, match="exists"):
        written(tmp_path)
    path.unlink()
    with pytest.raises(NotFoundError, match=r"plan\.json"):
        PlanFile(path)


def test_a_plan_that_could_not_be_finished_is_not_there(tmp_path: Path) -> None:
    def failing() -> Any:
        yield encode_entry(entry(1))
        raise OSError(28, "No space left on device")

    with pytest.raises(Exception, match="No space"):
        write_plan(tmp_path / "plan.json", HEADER, failing())
    assert list(tmp_path.iterdir()) == []


# --- What damage may consist of ---

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(2**63), 2**63 - 1).map(Int64),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.builds(Binary, st.binary(), st.just(5)),
    st.datetimes(
        min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.just(UTC)
    ).map(lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000)),
    st.binary(min_size=12, max_size=12).map(ObjectId),
    st.integers(0, 2**31).map(lambda seconds: Timestamp(seconds, 1)),
    st.just(Decimal128("1.50")),
    st.just(Regex("a.*b", "i")),
)
NAMES = st.text(min_size=1, max_size=6).filter(lambda name: "\0" not in name and name[0] != "$")
DOCUMENTS = st.recursive(
    st.dictionaries(NAMES, SCALARS, max_size=4),
    lambda inner: st.dictionaries(NAMES, inner | st.lists(inner | SCALARS, max_size=3), max_size=3),
    max_leaves=8,
)


@given(DOCUMENTS)
def test_a_document_of_any_shape_comes_back_from_json_byte_for_byte(document: Any) -> None:
    stored = bson.decode(bson.encode({"metadata": document}), TOLERANT)
    assert same(from_json(to_json(stored)), stored)


def test_what_json_would_change_is_refused_instead() -> None:
    with pytest.raises(ConflictError, match="without loss"):
        to_json({"metadata": {"$date": "2017-02-02T17:17:00Z"}})


def test_fields_in_another_order_or_of_another_type_are_another_document() -> None:
    assert not same({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert not same({"a": 1}, {"a": Int64(1)})
    assert not same({"a": None}, {})
