"""Blocking work off the event loop, which is never left behind by whoever asked for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from blackstart.store.backend import storage_errors
from blackstart.store.streams import ended

Result = TypeVar("Result")


async def in_thread(failure: str, call: Callable[..., Result], *arguments: object) -> Result:
    """Runs `call` to its end even if the caller is cancelled: no file is closed under a write.

    Raises: StorageError that starts with `failure` when the disk fails.
    """
    work = asyncio.ensure_future(asyncio.to_thread(call, *arguments))
    try:
        with storage_errors(failure):
            return await asyncio.shield(work)
    except asyncio.CancelledError:
        await ended(work)
        raise
