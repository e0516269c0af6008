"""Work beside the reading of a cursor: in threads and tasks, or one thing at a time in a drill."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Pipeline(Generic[Result]):
    """Runs what takes long while the next is read; results come in the order of the starts.

    `at_once` bounds how many are under way. With `threads` off nothing runs
    beside anything: a drill's order must not depend on threads.
    """

    def __init__(self, *, threads: bool, at_once: int) -> None:
        self._threads = threads
        self._at_once = at_once if threads else 1
        self._under_way: deque[asyncio.Task[Result]] = deque()
        self.done: list[Result] = []

    async def work(self, call: Callable[..., Item], *arguments: Any) -> Item:
        """What `call` returns; it blocks, and may run in a thread."""
        return await asyncio.to_thread(call, *arguments) if self._threads else call(*arguments)

    async def start(self, story: Coroutine[Any, Any, Result]) -> None:
        """Have `story` run; waits while too many are under way. Raises what an earlier one did."""
        if not self._threads:
            self.done.append(await story)
            return
        self._under_way.append(asyncio.get_running_loop().create_task(story))
        while len(self._under_way) > self._at_once:
            await self._next()

    async def finish(self) -> list[Result]:
        """All results, when all have ended. Raises what one did."""
        while self._under_way:
            await self._next()
        return self.done

    async def stop(self) -> None:
        """End what is under way: no write goes on behind the back of whoever stopped."""
        await _end(self._under_way)

    @asynccontextmanager
    async def ahead(self, items: AsyncGenerator[Item, None]) -> AsyncIterator[AsyncIterator[Item]]:
        """`items`, of which the next is read while one is worked on."""
        reader = _Ahead(items) if self._threads else None
        try:
            yield reader or items
        finally:
            if reader:
                await reader.stop()
            await items.aclose()

    async def _next(self) -> None:
        self.done.append(await self._under_way[0])
        self._under_way.popleft()


class _Ahead(Generic[Item]):
    """Asks for the next item before it is asked for it."""

    def __init__(self, items: AsyncGenerator[Item, None]) -> None:
        self._items = items
        self._coming: deque[asyncio.Task[Item | None]] = deque()

    def __aiter__(self) -> _Ahead[Item]:
        return self

    async def __anext__(self) -> Item:
        if not self._coming:
            self._ask()
        item = await self._coming[0]
        self._coming.popleft()
        if item is None:
            raise StopAsyncIteration
        self._ask()
        return item

    async def stop(self) -> None:
        await _end(self._coming)

    def _ask(self) -> None:
        self._coming.append(asyncio.get_running_loop().create_task(self._get()))

    async def _get(self) -> Item | None:
        # A task cannot raise StopAsyncIteration.
        return await anext(self._items, None)


async def _end(tasks: deque[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()
    tasks.clear()
