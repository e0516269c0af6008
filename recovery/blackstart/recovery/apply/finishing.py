"""Writes that were sent when a run is stopped: they come to their end, and are written down.

The server carries a write out whether its sender waits or not. Taking the run
back while one is still under way would find half of it, and miss the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")

GRACE_S = 10.0
"""How long a stopped run waits: a guard may hold a write for minutes."""


async def to_its_end(work: Coroutine[Any, Any, Result]) -> Result:
    """Do something that, once begun, ends before a cancellation of ours does."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    finally:
        await finished([task])


async def finished(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Let tasks end, however often we are cancelled meanwhile; after `GRACE_S` they are ended.

    What became of those is then in doubt, as after a crash.
    """
    cancelled: asyncio.CancelledError | None = None
    loop = asyncio.get_running_loop()
    until = loop.time() + GRACE_S
    while pending := {task for task in tasks if not task.done()}:
        if loop.time() >= until:
            for task in pending:
                task.cancel()
        try:
            await asyncio.wait(pending, timeout=max(until - loop.time(), 1.0))
        except asyncio.CancelledError as error:
            cancelled = error
    for task in tasks:
        if not task.cancelled():
            task.exception()
    if cancelled is not None:
        raise cancelled
