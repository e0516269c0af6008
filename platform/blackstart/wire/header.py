"""The sixteen bytes before every message: its length, its number, what it answers, what it is."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from blackstart.errors import WireError

_HEADER = struct.Struct("<iiii")
HEADER_BYTES = _HEADER.size


class OpCode(IntEnum):
    """The kinds of message that are spoken here; MongoDB 5.1 has removed all others."""

    REPLY = 1
    QUERY = 2004
    COMPRESSED = 2012
    MSG = 2013


@dataclass(frozen=True, slots=True)
class Header:
    """A message's header; `length` counts the header itself."""

    length: int
    request_id: int
    response_to: int
    op_code: int

    @classmethod
    def decode(cls, data: bytes) -> Header:
        """From the first bytes of a frame. Raises: WireError."""
        if len(data) < HEADER_BYTES:
            raise WireError(f"a message of {len(data)} bytes has no header")
        return cls(*_HEADER.unpack_from(data))

    def encode(self) -> bytes:
        return _HEADER.pack(self.length, self.request_id, self.response_to, self.op_code)
