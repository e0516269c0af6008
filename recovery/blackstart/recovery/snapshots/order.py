"""The order of `_id`s: BSON's, as MongoDB sorts and compares values of different types.

The rule is MongoDB's page "Comparison/Sort Order": types in a fixed order,
all numbers as one type, strings by their UTF-8 bytes, binary data by length,
subtype, bytes, sub-documents field by field.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from bson.binary import Binary
from bson.code import Code
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from bson.dbref import DBRef
from bson.decimal128 import Decimal128
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument
from bson.regex import Regex
from bson.timestamp import Timestamp

EXACT: CodecOptions[dict[str, Any]] = CodecOptions(
    datetime_conversion=DatetimeConversion.DATETIME_MS,
    unicode_decode_error_handler="surrogateescape",
)
"""Decodes any value a server may hold: dates of any year, strings that are not UTF-8."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Key = tuple[Any, ...]


def id_key(value: Any) -> Key:
    """What sorts, and is equal, as MongoDB sorts and compares `value`; for `_id`s of any type."""
    match value:
        case Code():
            if value.scope is None:
                return (13, str(value).encode())
            return (14, str(value).encode(), _fields(value.scope))
        case str():
            return (3, value.encode("utf-8", "surrogateescape"))
        case ObjectId():
            return (7, value.binary)
        case bool():
            return (8, value)
        case int() | float() | Decimal128():
            return (2, *_number(value))
        case None:
            return (1,)
        case uuid.UUID():
            return (6, 16, 4, value.bytes)
        case Binary():
            return (6, len(value), value.subtype, bytes(value))
        case bytes():
            return (6, len(value), 0, value)
        case DatetimeMS():
            return (9, int(value))
        case datetime():
            return (9, _milliseconds(value))
        case Timestamp():
            return (10, value.time, value.inc)
        case Regex():
            return (11, str(value.pattern), value.flags)
        case DBRef():
            return (4, _fields(value.as_doc()))
        case RawBSONDocument():
            return id_key(decoded(value))
        case Mapping():
            return (4, _fields(value))
        case list() | tuple():
            return (5, tuple(id_key(item) for item in value))
        case MinKey():
            return (0,)
        case MaxKey():
            return (99,)
    raise TypeError(f"BSON has no such type: {type(value).__name__}")


def decoded(document: RawBSONDocument) -> dict[str, Any]:
    """A raw document as a plain one, whatever it holds."""
    import bson

    return bson.decode(document.raw, EXACT)


def _fields(document: Mapping[str, Any]) -> Key:
    """Field by field: the type first, then the name, then the value."""
    keys = ((name, id_key(value)) for name, value in document.items())
    return tuple((key[0], name.encode("utf-8", "surrogateescape"), key[1:]) for name, key in keys)


def _number(value: int | float | Decimal128) -> tuple[int, Any]:
    """NaN sorts before all numbers, and equals itself."""
    number = value.to_decimal() if isinstance(value, Decimal128) else value
    if isinstance(number, Decimal) and number.is_nan():
        return (0, 0)
    return (0, 0) if number != number else (1, number)


def _milliseconds(value: datetime) -> int:
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    since = aware - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000
