"""Documents as raw BSON: taken from a server's batch or a chunk without being decoded."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import bson
from bson.raw_bson import RawBSONDocument

from blackstart.recovery.snapshots.order import EXACT, Key, id_key

_LENGTH = struct.Struct("<i")
_ID_NAME = b"_id\x00"
_FIXED = {0x07: 12, 0x10: 4, 0x12: 8, 0x01: 8, 0x08: 1, 0x09: 8, 0x11: 8, 0x13: 16}
_FIXED |= {0x0A: 0, 0xFF: 0, 0x7F: 0}
_VALUE_AT = 9


def split(raw: bytes) -> Iterator[bytes]:
    """The documents of a run of BSON, one after the other.

    Raises: ValueError when the run does not end where a document does.
    """
    at, end = 0, len(raw)
    while at < end:
        if end - at < 5:
            raise ValueError("a document is cut off")
        (length,) = _LENGTH.unpack_from(raw, at)
        if length < 5 or at + length > end:
            raise ValueError("a document is cut off")
        yield raw[at : at + length]
        at += length


def id_of(document: bytes) -> bytes:
    """A document's `_id` as BSON has it: a byte for the type, then the value; empty without one."""
    if document[5:_VALUE_AT] == _ID_NAME:
        kind = document[4]
        if kind in (0x02, 0x03):
            (length,) = _LENGTH.unpack_from(document, _VALUE_AT)
            length += 4 if kind == 0x02 else 0
            return document[4:5] + document[_VALUE_AT : _VALUE_AT + length]
        if kind in _FIXED:
            return document[4:5] + document[_VALUE_AT : _VALUE_AT + _FIXED[kind]]
    return _id_anywhere(document)


def id_document(identifier: bytes) -> bytes:
    """`{_id: ...}` for what `id_of` gave: how the manifest keeps it."""
    if not identifier:
        return b"\x05\x00\x00\x00\x00"
    body = identifier[:1] + _ID_NAME + identifier[1:] + b"\x00"
    return _LENGTH.pack(len(body) + 4) + body


def key_of(document: bytes) -> Key:
    """What sorts a document, or what `id_document` made, by its `_id`; one without sorts first."""
    if document[5:_VALUE_AT] == _ID_NAME and document[4] == 0x07:
        return (7, document[_VALUE_AT : _VALUE_AT + 12])
    if document[5:_VALUE_AT] == _ID_NAME and document[4] == 0x02:
        (length,) = _LENGTH.unpack_from(document, _VALUE_AT)
        return (3, document[_VALUE_AT + 4 : _VALUE_AT + 3 + length])
    identifier = id_of(document)
    return id_key(bson.decode(id_document(identifier), EXACT)["_id"]) if identifier else ()


def _id_anywhere(document: bytes) -> bytes:
    raw = RawBSONDocument(document)
    if "_id" not in raw:
        return b""
    alone = bson.encode({"_id": raw["_id"]})
    return alone[4:5] + alone[_VALUE_AT:-1]
