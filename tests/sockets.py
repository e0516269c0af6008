"""Closes a socket that PyMongo forgets, so that no other test is blamed for it.

PyMongo closes the socket of a connection attempt that fails or takes too long, but not of one
that is cancelled, as happens when a client is closed right after it was made. Some later test
would meet the socket in the garbage, and fail by a ResourceWarning that is not its own.
"""

from __future__ import annotations

import asyncio
import functools
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop

Connect = Callable[[Any, socket.socket, Any], Awaitable[None]]


def close_when_cancelled(patch: pytest.MonkeyPatch) -> None:
    """`sock_connect` of both kinds of loops closes its socket when it is cancelled.

    Only who makes the socket itself calls it. `create_connection` does as much by itself.
    """
    for loop in (asyncio.SelectorEventLoop, uvloop.Loop):
        patch.setattr(loop, "sock_connect", _closing(loop.sock_connect))


def _closing(connect: Connect) -> Connect:
    @functools.wraps(connect)
    async def sock_connect(loop: Any, sock: socket.socket, address: Any) -> None:
        try:
            await connect(loop, sock, address)
        except asyncio.CancelledError:
            sock.close()
            raise

    return sock_connect
