"""Documents as they are, whatever they hold: read without loss, written as JSON and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC
from typing import Any

import bson
from bson import json_util
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo.asynchronous.collection import AsyncCollection

from blackstart.errors import ConflictError
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


def _decoded(value: Any) -> Any:
    if isinstance(value, dict):
        fields = {name: _decoded(each) for name, each in value.items()}
        return json_util.object_hook(fields, _JSON)
    return [_decoded(each) for each in value] if isinstance(value, list) else value


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two documents are equal as MongoDB compares them: type by type, order included."""
    return bson.encode(one) == bson.encode(other)
