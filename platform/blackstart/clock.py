"""Time as an object, so that the same code runs on the wall's clock and on a drill's.

Nothing in Blackstart asks the system for the time or for sleep; it asks the
`Clock` it was given. A drill passes one whose time jumps.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Event(Protocol):
    """A flag that one task sets and others wait for."""

    def set(self) -> None: ...

    def clear(self) -> None: ...

    def is_set(self) -> bool: ...

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until set; False when `timeout_s` seconds pass first."""
        ...


class Clock(ABC):
    """Where time and sleep come from."""

    @abstractmethod
    def time(self) -> float:
        """Seconds since the Unix epoch."""

    @abstractmethod
    async def sleep(self, seconds: float) -> None:
        """Let `seconds` pass on this clock."""

    @abstractmethod
    def event(self) -> Event:
        """A fresh, unset event whose waits happen on this clock."""

    @abstractmethod
    def beside(
        self, name: str, story: Coroutine[Any, Any, None]
    ) -> AbstractAsyncContextManager[None]:
        """Run `story` beside the body of an `async with`, and end it with the body."""

    @abstractmethod
    def spawn(self, name: str, story: Coroutine[Any, Any, None]) -> Any:
        """Run `story` on its own, from now on; returns what `kill` takes. It must not raise."""

    @abstractmethod
    async def kill(self, spawned: Any) -> None:
        """End what was spawned, where it stands; returns when its clean-up is done."""

    def now(self) -> datetime:
        """The time as an aware UTC datetime, cut to the milliseconds MongoDB keeps."""
        return _EPOCH + timedelta(milliseconds=int(self.time() * 1000))


def is_paused(now: float, until: float, pause_s: float) -> bool:
    """Whether a pause of `pause_s` seconds that ends at `until` is still on.

    A clock that was set back makes it at most twice as long, and does not keep it on for hours.
    """
    return until - 2 * pause_s < now < until


class WallEvent:
    """`Event` over asyncio's."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        self._event.set()

    def clear(self) -> None:
        self._event.clear()

    def is_set(self) -> bool:
        return self._event.is_set()

    async def wait(self, timeout_s: float | None = None) -> bool:
        try:
            return await asyncio.wait_for(self._event.wait(), timeout_s)
        except TimeoutError:
            return False


class WallClock(Clock):
    """The system's clock: what every server runs on."""

    def __init__(self) -> None:
        # The event loop holds its tasks weakly: what is spawned must be held until it ends.
        self._spawned: set[asyncio.Task[None]] = set()

    time = staticmethod(time.time)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def event(self) -> Event:
        return WallEvent()

    @asynccontextmanager
    async def beside(self, name: str, story: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
        task = self.spawn(name, story)
        try:
            yield
        finally:
            await self.kill(task)

    def spawn(self, name: str, story: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(story, name=name)
        self._spawned.add(task)
        task.add_done_callback(self._spawned.discard)
        return task

    async def kill(self, spawned: asyncio.Task[None]) -> None:
        spawned.cancel()
        await asyncio.wait([spawned])
