"""Documents: the check takes what BSON is, refuses what it is not, and tells of keys held twice."""

from __future__ import annotations

import struct
from typing import Any

import bson
import pytest
from bson.raw_bson import RawBSONDocument
from hypothesis import given
from hypothesis import strategies as st
from tests.wire.bson_values import documents

from blackstart.errors import WireError
from blackstart.wire import WireLimits, parse_document
from blackstart.wire.documents import PLAIN, Document, top_keys


def doc(*elements: bytes) -> bytes:
    content = b"".join(elements)
    return struct.pack("<i", len(content) + 5) + content + b"\0"


def number(name: bytes, value: int = 1) -> bytes:
    return b"\x10" + name + b"\0" + struct.pack("<i", value)


def sub(name: bytes, inner: bytes, kind: bytes = b"\x03") -> bytes:
    return kind + name + b"\0" + inner


@given(documents)
def test_every_document_is_taken_and_comes_back(document: dict[str, Any]) -> None:
    raw = bson.encode(document)
    parsed = parse_document(raw)
    assert parsed == Document(raw)
    assert bson.encode(parsed.decode()) == raw
    assert top_keys(parsed) == set(document)


@given(documents, st.data())
def test_what_is_taken_is_what_the_library_decodes(
    document: dict[str, Any], data: st.DataObject
) -> None:
    raw = bytearray(bson.encode(document))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        parsed = parse_document(bytes(raw))
    except WireError:
        return
    bson.decode(parsed.raw, PLAIN)


@pytest.mark.parametrize(
    ("raw", "duplicates"),
    [
        (doc(number(b"a"), number(b"b")), ()),
        (doc(number(b"a"), number(b"b"), number(b"a")), ("a",)),
        (doc(number(b"a"), sub(b"q", doc(number(b"x"), number(b"x")))), ("q.x",)),
        (doc(sub(b"u", doc(sub(b"0", doc(number(b"m"), number(b"m")))), b"\x04")), ("u.0.m",)),
        (doc(sub(b"u", doc(number(b"0"), number(b"0")), b"\x04")), ()),
        (doc(*[number(b"a")] * 20), ("a",) * 8),
        (doc(number(b""), number(b"")), ("",)),
    ],
)
def test_keys_that_come_twice_are_told_by_path(raw: bytes, duplicates: tuple[str, ...]) -> None:
    assert parse_document(raw).duplicates == duplicates


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\4\0\0\0",
        doc() + b"\0",
        doc()[:-1] + b"\1",
        b"\xff\xff\xff\x7f\0",
        b"\xff\xff\xff\xff\0",
        doc(b"\x10a\0\1\0\0"),
        doc(b"\x10a"),
        doc(b"\x14a\0"),
        doc(b"\x08a\0\2"),
        doc(b"\0", number(b"a")),
        doc(number(b"\xff")),
        doc(b"\x02a\0\0\0\0\0"),
        doc(b"\x02a\0\2\0\0\0ab"),
        doc(b"\x02a\0\xff\xff\xff\xff"),
        doc(b"\x02a\0\2\0\0\0\xff\0"),
        doc(b"\x05a\0\xff\xff\xff\xff\0"),
        doc(b"\x05a\0\x04\0\0\0\x02\1\0\0\0"),
        doc(b"\x05a\0\0\0\0\0\x02"),
        doc(b"\x0ba\0x"),
        doc(b"\x0ba\0\xff\0\0"),
        doc(b"\x0fa\0\x0e\0\0\0\1\0\0\0\0" + b"\6\0\0\0\0"),
        doc(sub(b"a", doc() + b"\0")),
        doc(sub(b"a", b"\6\0\0\0\0")),
        doc(sub(b"a", b"\x60\0\0\0\0")),
    ],
)
def test_what_is_no_bson_is_refused(raw: bytes) -> None:
    with pytest.raises(WireError):
        parse_document(raw)


def nested(depth: int, kind: bytes) -> bytes:
    raw = doc()
    for _ in range(depth - 1):
        raw = doc(sub(b"a", raw, kind))
    return raw


@pytest.mark.parametrize("kind", [b"\x03", b"\x04"])
def test_nesting_has_mongodb_s_bound(kind: bytes) -> None:
    parse_document(nested(200, kind))
    for depth in (201, 20_000):
        with pytest.raises(WireError, match="deep"):
            parse_document(nested(depth, kind))


def test_code_in_the_scope_of_code_counts_as_nesting() -> None:
    raw = doc()
    for _ in range(1_000):
        value = b"\1\0\0\0\0" + raw
        raw = doc(b"\x0fa\0" + struct.pack("<i", len(value) + 4) + value)
    with pytest.raises(WireError, match="deep"):
        parse_document(raw)


def test_a_document_has_no_more_fields_than_the_limit() -> None:
    raw = doc(*(number(str(each).encode()) for each in range(11)))
    parse_document(raw, WireLimits(keys=11))
    with pytest.raises(WireError, match="more than 10 fields"):
        parse_document(raw, WireLimits(keys=10))


def test_a_reference_can_be_looked_at_without_becoming_one() -> None:
    view = parse_document(doc(sub(b"a", doc(number(b"$ref"), number(b"$id"))))).lazily()
    assert isinstance(view["a"], RawBSONDocument)
    assert set(view["a"]) == {"$ref", "$id"}


def test_a_date_beyond_python_s_years_is_decoded() -> None:
    parsed = parse_document(doc(b"\x09at\0" + struct.pack("<q", 2**60)))
    assert int(parsed.decode()["at"]) == 2**60
