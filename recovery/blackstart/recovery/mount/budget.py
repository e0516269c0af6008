"""How long a command may go on, and when it lets others in between two documents."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from blackstart.clock import Clock
from blackstart.wire import CommandError

_STRIDE = 200


class Budget:
    """`maxTimeMS` of one command and of the cursor it opens; 0 is no limit, as MongoDB has it.

    Time passes while a command runs, and not while a client thinks.
    """

    def __init__(self, clock: Clock, max_time_ms: int = 0) -> None:
        self._clock = clock
        self._steps = 0
        self._left_s = max_time_ms / 1000 if max_time_ms else None
        self._until = 0.0

    def start(self) -> Budget:
        if self._left_s is not None:
            self._until = self._clock.time() + self._left_s
        return self

    @contextmanager
    def running(self) -> Iterator[None]:
        """The body of one command."""
        self.start()
        try:
            yield
        finally:
            if self._left_s is not None:
                self._left_s = self._until - self._clock.time()

    async def step(self) -> None:
        """After each document. Raises: CommandError when the time is up."""
        self._steps += 1
        if self._steps % _STRIDE:
            return
        if self._left_s is not None and self._clock.time() > self._until:
            raise CommandError("MaxTimeMSExpired", "operation exceeded time limit")
        await self._clock.sleep(0)
