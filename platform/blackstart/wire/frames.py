"""How long a message is, by its first bytes; never more than the limit."""

from __future__ import annotations

import struct

from blackstart.errors import WireError
from blackstart.wire.header import HEADER_BYTES
from blackstart.wire.limits import LIMITS, WireLimits

_LENGTH = struct.Struct("<i")


def frame_length(start: bytes | bytearray, limits: WireLimits = LIMITS) -> int:
    """How long the message is that begins with these bytes. Raises: WireError."""
    if len(start) < HEADER_BYTES:
        raise WireError(f"a message of {len(start)} bytes has no header")
    (length,) = _LENGTH.unpack_from(start)
    if not HEADER_BYTES <= length <= limits.message_bytes:
        raise WireError(f"a message announces {length} bytes; {limits.message_bytes} are taken")
    return int(length)
