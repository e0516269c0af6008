"""Commands as people see them: without secrets, without what names a session, and bounded."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from bson import Binary, Code, DBRef, Decimal128, Int64, ObjectId, Regex, Timestamp, encode
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from hypothesis import assume, given
from hypothesis import strategies as st

from blackstart.guard.redact import REDACTED, WHOLE_CHARACTERS, Redaction

HIDE = Redaction(["mail", "metadata.owner"])


@pytest.mark.parametrize(
    ("document", "shown"),
    [
        ({"createUser": "a", "pwd": "x"}, {"createUser": "a", "pwd": REDACTED}),
        (
            {"find": "s", "filter": {"mail": "a@b", "n": 1}},
            {"find": "s", "filter": {"mail": REDACTED, "n": 1}},
        ),
        ({"u": {"$set": {"a.mail": "x"}}}, {"u": {"$set": {"a.mail": REDACTED}}}),
        ({"u": {"$set": {"mail.home": 1}}}, {"u": {"$set": {"mail.home": REDACTED}}}),
        ({"u": {"$set": {"mail.0.home": 1}}}, {"u": {"$set": {"mail.0.home": REDACTED}}}),
        ({"u": {"$set": {"metadata.owner.n": 1}}}, {"u": {"$set": {"metadata.owner.n": REDACTED}}}),
        ({"u": {"$set": {"mail": {"home": 1}}}}, {"u": {"$set": {"mail": REDACTED}}}),
        (
            {"u": {"metadata": {"owner": 1, "tree": 2}}},
            {"u": {"metadata": {"owner": REDACTED, "tree": 2}}},
        ),
        ({"u": {"metadata.owner": 1}}, {"u": {"metadata.owner": REDACTED}}),
        ({"u": {"owner": 1}}, {"u": {"owner": 1}}),
        ({"q": {"mail": {"$in": ["a", "b"]}}}, {"q": {"mail": REDACTED}}),
        ({"q": {"$or": [{"mail": 1}, {"a": 2}]}}, {"q": {"$or": [{"mail": REDACTED}, {"a": 2}]}}),
        ({"d": [{"mail": 1}]}, {"d": [{"mail": REDACTED}]}),
        ({"metadata": [{"owner": 1}]}, {"metadata": [{"owner": REDACTED}]}),
        ({"find": "s", "lsid": {"id": b"x"}, "txnNumber": 1, "$db": "shop"}, {"find": "s"}),
    ],
    ids=str,
)
def test_values_are_left_out_by_field(document: dict[str, Any], shown: dict[str, Any]) -> None:
    assert HIDE(document) == shown


def test_a_document_that_is_read_lazily_is_redacted_like_any_other() -> None:
    raw = RawBSONDocument(encode({"filter": {"mail": "x", "list": [{"mail": "y"}]}}))
    assert HIDE(raw) == {"filter": {"mail": REDACTED, "list": [{"mail": REDACTED}]}}


def test_every_kind_of_value_becomes_plain() -> None:
    values = {
        "id": ObjectId(),
        "at": datetime.datetime(2017, 2, 2, tzinfo=datetime.UTC),
        "far": DatetimeMS(2**62),
        "long": Int64(5),
        "exact": Decimal128("1.5"),
        "regex": Regex("^a", "i"),
        "bytes": Binary(b"x" * 500),
        "stamp": Timestamp(1, 1),
        "code": Code("f()"),
        "nan": float("nan"),
        "infinite": float("inf"),
        "half": 0.5,
    }
    shown = HIDE(values)
    assert json.loads(json.dumps(shown, allow_nan=False)) == shown
    assert (shown["bytes"], shown["half"], shown["long"]) == ("(500 bytes)", 0.5, 5)


def test_what_is_large_is_cut() -> None:
    many = HIDE({"insert": "s", "documents": [{"_id": n} for n in range(5_000)]})
    assert many["documents"][-1] == "... and 4980 more"
    wide = HIDE({"insert": "s", "documents": [{str(n): "x" * 5_000 for n in range(500)}]})
    assert len(json.dumps(wide)) < 2 * WHOLE_CHARACTERS
    assert wide["insert"] == "s"
    deep: dict[str, Any] = {}
    for _ in range(150):
        deep = {"a": deep}
    assert len(json.dumps(HIDE(deep))) < 1_000


_values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), _values))
def test_no_document_fails_and_no_secret_comes_through(document: dict[str, Any]) -> None:
    assume("SECRET" not in str(document))
    document = {"x": 1, **document, "inner": {"mail": "SECRET", "rest": document}}
    text = json.dumps(HIDE(document), allow_nan=False)
    assert "SECRET" not in text


def test_what_a_decoder_takes_out_of_sight_is_redacted_too() -> None:
    hidden = {"password": "s3cret", "plain": 1}
    for value in (DBRef("c", 1, None, **hidden), Code("f", hidden), [DBRef("c", hidden)]):
        shown = json.dumps(Redaction()({"insert": "x", "documents": [{"a": value}]}))
        assert "s3cret" not in shown
        assert "plain" in shown


@pytest.mark.parametrize(
    "command",
    [
        {"x" * 1_000_000: 1},
        {"insert": {str(number): "x" * 900 for number in range(90)}},
        {"insert": "x", "documents": [{"a": Code("f" * 1_000_000)}]},
        {"insert": "x", "documents": [{"a": Regex("f" * 1_000_000)}]},
        {"insert": "x", "documents": [{"f" * 1_000_000: 1}]},
        {"insert": "x", "documents": [{str(n): Regex("f" * 900) for n in range(99)}] * 20},
    ],
)
def test_no_command_makes_a_line_without_end(command: dict[str, Any]) -> None:
    assert len(json.dumps(Redaction()(command))) < 50_000


def test_what_is_left_out_before_is_left_out_after_wherever_a_change_puts_it() -> None:
    before = {"mail": {"home": "a@b", "pin": 4711, "on": True}, "n": 1, "other": "x"}
    after = {"address": "<a@b>", "list": [4711, 5, True], "n": 1, "other": "x"}
    first, second = HIDE.both(before, after)
    assert first == {"mail": REDACTED, "n": 1, "other": "x"}
    assert second == {"address": REDACTED, "list": [REDACTED, 5, True], "n": 1, "other": "x"}


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("mail", "mail"),
        ("mail.a@b.since", f"mail.{REDACTED}"),
        ("people.mail.home", f"people.mail.{REDACTED}"),
        ("metadata.owner.name", f"metadata.owner.{REDACTED}"),
        ("metadata.tree", "metadata.tree"),
        ("owner.name", "owner.name"),
    ],
)
def test_names_below_a_field_that_is_left_out_are_part_of_its_value(path: str, shown: str) -> None:
    assert HIDE.path(path) == shown
