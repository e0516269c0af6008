"""The fields of a document as BSON has them: a type and bytes, so that nothing is equal by luck.

A decoder makes `1`, `1.0` and a long of one equal, and NaN unequal to itself.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument

from blackstart.recovery.exact import extended_json

DOCUMENT = 0x03
_LENGTH = struct.Struct("<i")
_FIXED = {0x01: 8, 0x06: 0, 0x07: 12, 0x08: 1, 0x09: 8, 0x0A: 0, 0x10: 4, 0x11: 8, 0x12: 8}
_FIXED |= {0x13: 16, 0xFF: 0, 0x7F: 0}
_COUNTED = {0x02: 4, 0x05: 5, 0x0C: 16, 0x0D: 4, 0x0E: 4}
"""A length comes first; what it does not count."""
_NESTED = (0x03, 0x04, 0x0F)
"""A length comes first that counts itself."""
_REGEX = 0x0B
_TYPES = {0x01: "double", 0x10: "int32", 0x12: "int64", 0x13: "decimal128"}
# Dates of any year, and sub-documents byte for byte.
_AS_STORED: CodecOptions[Any] = CodecOptions(
    document_class=RawBSONDocument, datetime_conversion=DatetimeConversion.DATETIME_MS
)


@dataclass(frozen=True, slots=True)
class Element:
    """One field's value: equal to another only when type and bytes are."""

    kind: int
    data: bytes

    @property
    def is_document(self) -> bool:
        return self.kind == DOCUMENT

    @property
    def number_type(self) -> str:
        """Which of BSON's types of numbers it is; blank for what is no number."""
        return _TYPES.get(self.kind, "")

    def as_json(self) -> Any:
        """As extended JSON."""
        return extended_json(document_of({"v": self}))["v"]

    def as_stored(self) -> Any:
        """As PyMongo sends it again: a sub-document stays as it is, byte for byte.

        Raises: InvalidBSON for what its library does not read.
        """
        return bson.decode(document_of({"v": self}), _AS_STORED)["v"]


Fields = dict[str, Element]


def elements(raw: bytes) -> Fields:
    """The fields of a document, or of an array; of a name that comes twice the last, as readers do.

    Raises: ValueError for what is no BSON.
    """
    found: Fields = {}
    at = 4
    try:
        while kind := raw[at]:
            name_end = raw.index(0, at + 1)
            end = _end(raw, kind, name_end + 1)
            name = raw[at + 1 : name_end].decode("utf-8", "surrogateescape")
            found[name] = Element(kind, raw[name_end + 1 : end])
            at = end
    except (IndexError, struct.error) as error:
        raise ValueError("a document is cut off") from error
    return found


def document_of(fields: Fields) -> bytes:
    """The document that has these fields, in this order."""
    body = b"".join(
        bytes((each.kind,)) + name.encode("utf-8", "surrogateescape") + b"\0" + each.data
        for name, each in fields.items()
    )
    return _LENGTH.pack(len(body) + 5) + body + b"\0"


def same_fields(one: bytes, other: bytes) -> bool:
    """Whether two documents have the same fields; their own order means nothing to MongoDB."""
    return one == other or elements(one) == elements(other)


def _end(raw: bytes, kind: int, at: int) -> int:
    if kind in _FIXED:
        return at + _FIXED[kind]
    if kind == _REGEX:
        return raw.index(0, raw.index(0, at) + 1) + 1
    (length,) = _LENGTH.unpack_from(raw, at)
    if kind in _COUNTED and length >= 0:
        return int(at + length + _COUNTED[kind])
    if kind in _NESTED and length >= 5:
        return int(at + length)
    raise ValueError(f"a value of an unknown type {kind:#04x}")
