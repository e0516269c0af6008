"""BSON documents as they came: checked to the last byte, kept as bytes, decoded when asked.

The check is ours because a decoder forgives what a judge must not: of a key
that comes twice it keeps one, and the next reader may keep the other.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import InvalidBSON
from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS, RawBSONDocument

from blackstart.errors import WireError
from blackstart.wire.limits import LIMITS, WireLimits

PLAIN: CodecOptions[dict[str, Any]] = CodecOptions(
    tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)
"""Decodes every date MongoDB takes, those beyond Python's years as `DatetimeMS`."""

_INT32 = struct.Struct("<i")
_FIXED = {0x01: 8, 0x06: 0, 0x07: 12, 0x09: 8, 0x0A: 0, 0x10: 4, 0x11: 8, 0x12: 8, 0x13: 16} | {
    0xFF: 0,
    0x7F: 0,
}
_STRINGS = frozenset({0x02, 0x0D, 0x0E})
_DOCUMENT, _ARRAY = 0x03, 0x04
_BINARY, _BOOLEAN, _REGEX, _DBPOINTER, _SCOPED_CODE = 0x05, 0x08, 0x0B, 0x0C, 0x0F
_OLD_BINARY = 2
_SMALLEST = 5
_FIELD_BYTES = 2
"""The least that one more field takes: type and empty name."""
_LEVEL_BYTES = 7
"""The least that one more level of nesting takes: type, empty name, length, end."""
_DUPLICATES_TOLD = 8


@dataclass(frozen=True, slots=True)
class Document:
    """One checked document.

    `duplicates` are dotted paths of keys that come twice in one document, the
    first eight of them: whoever judges by a key should refuse a document with any.
    """

    raw: bytes
    duplicates: tuple[str, ...] = ()
    _values: dict[str, Any] | None = field(default=None, repr=False, compare=False)

    @property
    def first_key(self) -> str:
        """The name of a command; empty for an empty document."""
        return "" if self.raw[4] == 0 else self.raw[5 : self.raw.index(0, 5)].decode()

    def decode(self) -> dict[str, Any]:
        """All of it as plain values. Raises: WireError for a value that BSON's library refuses."""
        if self._values is not None:
            return dict(self._values)
        try:
            return bson.decode(self.raw, PLAIN)
        except (InvalidBSON, ValueError, OverflowError, RecursionError) as error:
            raise WireError(f"a document cannot be decoded: {error}") from error

    @property
    def is_exact(self) -> bool:
        """Whether its values, encoded again, give the same bytes."""
        return bson.encode(self.decode(), codec_options=PLAIN) == self.raw

    def lazily(self) -> RawBSONDocument:
        """A view that decodes what is looked at."""
        return RawBSONDocument(self.raw, DEFAULT_RAW_BSON_OPTIONS)


def parse_document(data: bytes, limits: WireLimits = LIMITS) -> Document:
    """A document that is all of these bytes. Raises: WireError."""
    end = document_end(data, 0, len(data), limits)
    if end != len(data):
        raise WireError(f"{len(data) - end} bytes follow a document")
    return _checked(data, limits)


def document_at(data: bytes, start: int, stop: int, limits: WireLimits) -> tuple[Document, int]:
    """The document that begins at `start`, and where it ends. Raises: WireError."""
    end = document_end(data, start, stop, limits)
    raw = data[start:end]
    return _checked(raw, limits), end


def _checked(raw: bytes, limits: WireLimits) -> Document:
    """A document that is known to be good.

    A small one that its values give again, byte for byte, has no fault and no key twice, and
    is too short to lie too deep or to hold too much. Most commands are spared the longer walk.
    """
    if len(raw) < min(limits.depth * _LEVEL_BYTES, limits.keys * _FIELD_BYTES):
        try:
            values = bson.decode(raw, PLAIN)
            if bson.encode(values, codec_options=PLAIN) == raw:
                return Document(raw, (), values)
        except Exception:
            # The walk finds out what is wrong with it.
            pass
    return Document(raw, check_elements(raw, limits))


def document_end(data: bytes, start: int, stop: int, limits: WireLimits) -> int:
    """Where the document at `start` ends, by its own length. Raises: WireError."""
    if stop - start < _SMALLEST:
        raise WireError("a document of fewer than five bytes")
    (length,) = _INT32.unpack_from(data, start)
    if not _SMALLEST <= length <= stop - start:
        raise WireError(f"a document announces {length} bytes where {stop - start} are left")
    if length > limits.document_bytes:
        raise WireError(f"a document of {length} bytes; {limits.document_bytes} are taken")
    if data[start + length - 1] != 0:
        raise WireError("a document does not end with a zero byte")
    return start + int(length)


def top_keys(document: Document) -> set[str]:
    """The names of a document's own fields."""
    walk = _Walk(document.raw, LIMITS)
    walk.run()
    return {name.decode() for name in walk.top}


def check_elements(data: bytes, limits: WireLimits = LIMITS) -> tuple[str, ...]:
    """Walk through a document whose length is right; returns the paths of duplicate keys.

    Raises: WireError for anything that BSON's grammar (bsonspec.org, version 1.1) lacks,
    or that lies too deep.
    """
    try:
        return _Walk(data, limits).run()
    except (IndexError, struct.error) as error:
        raise WireError("a value ends beyond its document") from error
    except ValueError as error:
        # Both "no zero byte" of bytes.index and a text that is not UTF-8.
        raise WireError(f"a name or a text cannot be read: {error}") from error


@dataclass(slots=True)
class _Level:
    """One document or array that the walk is in; an array's keys mean nothing."""

    end: int
    name: bytes
    keys: set[bytes] | None


class _Walk:
    """Goes through all elements with a stack of its own, as deep as the limit and no deeper."""

    def __init__(self, data: bytes, limits: WireLimits) -> None:
        self._data = data
        self._limits = limits
        self.top: set[bytes] = set()
        self._levels = [_Level(len(data) - 1, b"", self.top)]
        self._duplicates: list[str] = []

    def run(self) -> tuple[str, ...]:
        data, levels, at = self._data, self._levels, 4
        while levels:
            level = levels[-1]
            kind, end = data[at], level.end
            if kind == 0:
                if at != end:
                    raise WireError("a document ends before its length does")
                levels.pop()
                at += 1
                continue
            after = data.index(0, at + 1, end)
            name = data[at + 1 : after]
            if level.keys is not None:
                self._note(level.keys, name)
            at = self._after_value(kind, name, after + 1, end)
            if at > end:
                raise WireError("a value ends beyond its document")
        return tuple(self._duplicates)

    def _note(self, keys: set[bytes], name: bytes) -> None:
        if not name.isascii():
            name.decode()
        if name in keys and len(self._duplicates) < _DUPLICATES_TOLD:
            names = [each.name for each in self._levels[1:]] + [name]
            self._duplicates.append(b".".join(names).decode(errors="replace"))
        keys.add(name)
        if len(keys) > self._limits.keys:
            raise WireError(f"a document of more than {self._limits.keys} fields")

    def _after_value(self, kind: int, name: bytes, at: int, end: int) -> int:
        """Where a value ends; of a document, where its first element is."""
        size = _FIXED.get(kind)
        if size is not None:
            return at + size
        if kind in _STRINGS:
            return self._after_string(at, end)
        if kind in (_DOCUMENT, _ARRAY):
            return self._enter(name, at, end, named=kind == _DOCUMENT)
        if kind == _BOOLEAN:
            if self._data[at] > 1:
                raise WireError("a boolean is neither true nor false")
            return at + 1
        if kind == _BINARY:
            return self._after_binary(at, end)
        if kind == _REGEX:
            return self._after_cstring(self._after_cstring(at, end), end)
        if kind == _DBPOINTER:
            return self._after_string(at, end) + 12
        if kind == _SCOPED_CODE:
            return self._after_code(name, at, end)
        raise WireError(f"a value of an unknown type {kind:#04x}")

    def _enter(self, name: bytes, at: int, end: int, *, named: bool) -> int:
        """Step into the document at `at`; returns where its first element is."""
        if len(self._levels) >= self._limits.depth:
            raise WireError(f"documents lie more than {self._limits.depth} deep")
        inner_end = document_end(self._data, at, end, self._limits)
        self._levels.append(_Level(inner_end - 1, name, set() if named else None))
        return at + 4

    def _after_string(self, at: int, end: int) -> int:
        (length,) = _INT32.unpack_from(self._data, at)
        after = at + 4 + length
        if length < 1 or after > end or self._data[after - 1] != 0:
            raise WireError("a text with a wrong length")
        text = self._data[at + 4 : after - 1]
        if not text.isascii():
            text.decode()
        return int(after)

    def _after_cstring(self, at: int, end: int) -> int:
        after = self._data.index(0, at, end)
        self._data[at:after].decode()
        return after + 1

    def _after_binary(self, at: int, end: int) -> int:
        (length,) = _INT32.unpack_from(self._data, at)
        after = at + 5 + length
        if length < 0 or after > end:
            raise WireError("binary data with a wrong length")
        if self._data[at + 4] == _OLD_BINARY:
            (inner,) = _INT32.unpack_from(self._data, at + 5)
            if inner < 0 or inner != length - 4:
                raise WireError("binary data of the old kind with a wrong length")
        return int(after)

    def _after_code(self, name: bytes, at: int, end: int) -> int:
        """JavaScript with a scope: a length, a text, and a document, which is stepped into."""
        (length,) = _INT32.unpack_from(self._data, at)
        after = at + length
        if length < 14 or after > end:
            raise WireError("code with a wrong length")
        scope = self._after_string(at + 4, after)
        if document_end(self._data, scope, after, self._limits) != after:
            raise WireError("code whose scope has a wrong length")
        return self._enter(name, scope, after, named=True)
