"""Frames from a stream: one message's bytes at a time, never more than the limit."""

from __future__ import annotations

import asyncio
import struct

from blackstart.errors import WireError
from blackstart.wire.header import HEADER_BYTES
from blackstart.wire.limits import LIMITS, WireLimits

_LENGTH = struct.Struct("<i")


async def read_frame(reader: asyncio.StreamReader, limits: WireLimits = LIMITS) -> bytes | None:
    """The next whole message, header and all; None when the peer has closed between two.

    What a peer announces is not taken from memory before it has sent it.
    Raises: WireError for a length out of bounds, or a stream that ends within a message.
    """
    try:
        start = await reader.readexactly(HEADER_BYTES)
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise WireError("the connection ended within a header") from error
    length = frame_length(start, limits)
    try:
        return start + await reader.readexactly(length - HEADER_BYTES)
    except asyncio.IncompleteReadError as error:
        raise WireError("the connection ended within a message") from error


def frame_length(start: bytes | bytearray, limits: WireLimits = LIMITS) -> int:
    """How long the message is that begins with these bytes. Raises: WireError."""
    if len(start) < HEADER_BYTES:
        raise WireError(f"a message of {len(start)} bytes has no header")
    (length,) = _LENGTH.unpack_from(start)
    if not HEADER_BYTES <= length <= limits.message_bytes:
        raise WireError(f"a message announces {length} bytes; {limits.message_bytes} are taken")
    return int(length)
