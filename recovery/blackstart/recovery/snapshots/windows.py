"""A few steps at a time, their results in order: what reads and removes many objects goes by."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import TypeVar

from obstore.store import MemoryStore

from blackstart.store import ObjectStore

AT_ONCE = 8

Item = TypeVar("Item")
Result = TypeVar("Result")


async def in_order(
    items: Iterable[Item], step: Callable[[Item], Awaitable[Result]], at_once: int
) -> AsyncGenerator[Result, None]:
    """What `step` makes of each item, in the order of the items, `at_once` of them under way.

    None goes on when this ends early. With one at once no task is made: a virtual clock wants
    each actor to be one.
    """
    under_way: deque[asyncio.Future[Result]] = deque()
    try:
        for item in items:
            if at_once == 1:
                yield await step(item)
                continue
            under_way.append(asyncio.ensure_future(step(item)))
            if len(under_way) == at_once:
                yield await under_way.popleft()
        while under_way:
            yield await under_way.popleft()
    finally:
        for each in under_way:
            each.cancel()
        if under_way:
            await asyncio.wait(under_way)
            for each in under_way:
                if not each.cancelled():
                    each.exception()


def at_once(objects: ObjectStore) -> int:
    """How many objects to handle at a time: in memory nothing is gained by more than one."""
    return 1 if isinstance(objects.backend, MemoryStore) else AT_ONCE
