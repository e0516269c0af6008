"""Messages of MongoDB's wire protocol from a stream, for tests that play a client or a server."""

from __future__ import annotations

import asyncio

from blackstart.errors import WireError
from blackstart.wire import HEADER_BYTES
from blackstart.wire.frames import frame_length


async def read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """The next whole message, header and all; None when the peer has closed between two.

    Raises: WireError for a length out of bounds, or a stream that ends within a message.
    """
    try:
        start = await reader.readexactly(HEADER_BYTES)
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise WireError("the connection ended within a header") from error
    length = frame_length(start)
    try:
        return start + await reader.readexactly(length - HEADER_BYTES)
    except asyncio.IncompleteReadError as error:
        raise WireError("the connection ended within a message") from error
