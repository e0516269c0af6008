"""No test leaves a socket to the garbage collector, where the driver would."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import uvloop
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

STEPS = 12
"""Of the loop; the driver's attempt to connect lies among them."""


@pytest.mark.parametrize(
    "new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
def test_a_driver_that_is_closed_while_it_connects_leaves_no_socket(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """A socket that is left is warned of here, and a warning is a failure."""
    gc.collect()
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(close_at_each_step())
    gc.collect()


async def close_at_each_step() -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        for steps in range(STEPS):
            await close_after(steps, f"mongodb://127.0.0.1:{port}")


async def close_after(steps: int, uri: str) -> None:
    client = AsyncMongoClient[dict[str, Any]](uri, serverMonitoringMode="poll")
    asking = asyncio.ensure_future(client.admin.command("ping"))
    for _ in range(steps):
        await asyncio.sleep(0)
    asking.cancel()
    await client.close()
    with suppress(asyncio.CancelledError, PyMongoError):
        await asking
