"""The form of a line: one JSON object that ends in a checksum of itself and names the line before.

    {"seq":7,...,"after":"<checksum of line 6>","sum":"<checksum of what stands before it>"}

A line can be believed on its own, and a chain of them shows what was changed,
removed, put in or moved. It is no signature: who can write the whole log anew
can make one that holds together.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SUM_HEX = 32
"""Hex digits of SHA-256 that a checksum keeps: 128 bits."""

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True).encode
"""Made once: `json.dumps` would make one for each line."""
_SHAPE = re.compile(rb'(\{.*),"sum":"([0-9a-f]{%d})"\}' % SUM_HEX)
_SUM = re.compile(rf"[0-9a-f]{{{SUM_HEX}}}")


@dataclass(frozen=True)
class Position:
    """Where the chain of one writer stands: number and checksum of its last line."""

    seq: int
    sum: str


START = Position(0, "0" * SUM_HEX)
"""Before a writer's first line."""


@dataclass(frozen=True)
class Line:
    """A line whose checksum is right. `fields` lack `seq`, `after` and `sum`."""

    position: Position
    after: str
    fields: Mapping[str, Any]


def write_line(fields: Mapping[str, Any], last: Position) -> tuple[bytes, Position]:
    """The line that follows `last`, with its newline, and where the chain then stands."""
    whole = {"seq": last.seq + 1, **fields, "after": last.sum}
    body = _encode(whole).encode()[:-1]
    checksum = _checksum(body)
    return b'%b,"sum":"%b"}\n' % (body, checksum.encode()), Position(last.seq + 1, checksum)


def read_line(line: bytes) -> Line:
    """A line without its newline. Raises: ValueError that says what is wrong with it."""
    shape = _SHAPE.fullmatch(line)
    if shape is None:
        raise ValueError("it is not a line of the log")
    body, checksum = shape[1], shape[2].decode()
    if _checksum(body) != checksum:
        raise ValueError("it does not have its checksum")
    fields = json.loads(body + b"}")
    seq, after = fields.pop("seq", None), fields.pop("after", None)
    if type(seq) is not int or seq < 1:
        raise ValueError(f"its number is {seq!r}")
    if not isinstance(after, str) or not _SUM.fullmatch(after):
        raise ValueError("it does not name the line before")
    return Line(Position(seq, checksum), after, fields)


def _checksum(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:SUM_HEX]
