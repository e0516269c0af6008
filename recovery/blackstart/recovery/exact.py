"""Documents as they are, whatever they hold: read without loss, written as JSON and back."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import Any

import bson
from bson import json_util
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo.asynchronous.collection import AsyncCollection

from blackstart.errors import ConflictError
from blackstart.recovery.snapshots.order import EXACT
from blackstart.store import MetadataStore

# A date beyond year 9999 or a text that is not UTF-8 must not stop who looks for damage.
TOLERANT: CodecOptions[dict[str, Any]] = CodecOptions(
    tz_aware=True,
    tzinfo=UTC,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    unicode_decode_error_handler="replace",
)
# Plain numbers and readable times, and yet no type is lost on the way back.
_JSON = json_util.JSONOptions(
    json_mode=json_util.JSONMode.LEGACY,
    strict_number_long=True,
    datetime_representation=json_util.DatetimeRepresentation.ISO8601,
    tz_aware=True,
    tzinfo=UTC,
)
_CANONICAL = json_util.JSONOptions(
    json_mode=json_util.JSONMode.CANONICAL, datetime_conversion=DatetimeConversion.DATETIME_MS
)
_YEAR_10000_MS = 253_402_300_800_000
_BYTES = "$bson"


def collection(store: MetadataStore, name: str) -> AsyncCollection[dict[str, Any]]:
    """A collection whose documents can be read whatever damage they have."""
    return store.database.get_collection(name, codec_options=TOLERANT)


def to_json(document: Mapping[str, Any]) -> dict[str, Any]:
    """A document as plain JSON values, in MongoDB's extended JSON.

    Raises: ConflictError when it would not come back as it was.
    """
    value: dict[str, Any] = json.loads(json_util.dumps(document, json_options=_JSON))
    if not same(from_json(value), document):
        raise ConflictError("the document cannot be written as JSON without loss")
    return value


def from_json(value: Mapping[str, Any]) -> dict[str, Any]:
    """The document of which `to_json` made this."""
    document: dict[str, Any] = _decoded(dict(value))
    return document


def extended_json(raw: bytes) -> dict[str, Any]:
    """A document as MongoDB's extended JSON (version 2), short where no type is lost by that.

    An int32 and a finite double are plain numbers, a long says that it is one.
    """
    text = json_util.dumps(bson.decode(raw, EXACT), json_options=_CANONICAL)
    value: dict[str, Any] = json.loads(text, object_hook=_shortened)
    return value


def _shortened(value: dict[str, Any]) -> Any:
    match value:
        case {"$numberInt": str(number), **rest} if not rest:
            return int(number)
        case {"$numberDouble": str(number), **rest} if not rest and isfinite(float(number)):
            return float(number)
        case {"$date": {"$numberLong": str(number)}, **rest} if not rest:
            return {"$date": _date(int(number)) or {"$numberLong": number}}
    return value


def _date(milliseconds: int) -> str | None:
    """As extended JSON writes the years that it writes in words."""
    if not 0 <= milliseconds < _YEAR_10000_MS:
        return None
    at = datetime.fromtimestamp(milliseconds // 1000, UTC)
    part = f".{milliseconds % 1000:03}" if milliseconds % 1000 else ""
    return f"{at:%Y-%m-%dT%H:%M:%S}{part}Z"


def kept_as_json(raw: bytes) -> dict[str, Any]:
    """A document for a journal: readable, or else its bytes; `kept_bytes` gives it back."""
    try:
        value = extended_json(raw)
        if kept_bytes(value) == raw:
            return value
    except (ValueError, TypeError, OverflowError, bson.errors.BSONError):
        pass
    return {_BYTES: b64encode(raw).decode()}


def kept_bytes(value: Mapping[str, Any]) -> bytes:
    """The document of which `kept_as_json` made this, byte for byte."""
    if list(value) == [_BYTES]:
        return b64decode(value[_BYTES])
    decoded = json_util.loads(json.dumps(value), json_options=_CANONICAL)
    return bson.encode(decoded, codec_options=EXACT)


def _decoded(value: Any) -> Any:
    if isinstance(value, dict):
        fields = {name: _decoded(each) for name, each in value.items()}
        return json_util.object_hook(fields, _JSON)
    return [_decoded(each) for each in value] if isinstance(value, list) else value


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two documents are equal as MongoDB compares them: type by type, order included."""
    return bson.encode(one) == bson.encode(other)
