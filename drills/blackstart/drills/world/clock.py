"""The virtual clock: actors run one at a time, and when all sleep, time jumps.

Which of two actors due at the same moment goes first is drawn from the seed.
Real work (MongoDB, git) takes no virtual time: while an actor awaits it,
nobody else runs, so its duration cannot change the order of events.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from blackstart.clock import Clock
from blackstart.seed import Seed


class Actor:
    """One thread of the story: a visitor, a worker, a responder."""

    def __init__(self, name: str, story: Coroutine[Any, Any, None]) -> None:
        self.name = name
        self.story = story
        self.task: asyncio.Task[None] | None = None
        self.wake: asyncio.Future[None] | None = None
        self.turn = 0

    @property
    def ended(self) -> bool:
        return self.task is not None and self.task.done()


@dataclass(order=True)
class _Due:
    """An actor's place in the agenda; out of date once its `turn` has passed."""

    time: float
    tie: float
    sequence: int
    actor: Actor = field(compare=False)
    turn: int = field(compare=False)


class VirtualClock(Clock):
    """Time that only moves when every actor sleeps."""

    def __init__(self, start: float, seed: Seed) -> None:
        self._now = start
        self._random = seed.fork("clock").random
        self._agenda: list[_Due] = []
        self._sequence = 0
        self._actors: dict[Actor, None] = {}
        self._current: Actor | None = None
        self._parked: asyncio.Future[None] | None = None

    def time(self) -> float:
        return self._now

    @property
    def actor_name(self) -> str:
        """Who is acting right now; `world` between actors."""
        return self._current.name if self._current else "world"

    async def sleep(self, seconds: float) -> None:
        actor = self._running_actor()
        self._enter(actor, self._now + max(0.0, seconds))
        await self._park(actor)

    def event(self) -> VirtualEvent:
        return VirtualEvent(self)

    @asynccontextmanager
    async def beside(self, name: str, story: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
        actor = self.spawn(name, story)
        try:
            yield
        finally:
            await self.kill(actor)

    def spawn(self, name: str, coroutine: Coroutine[Any, Any, None]) -> Actor:
        """Start an actor; it first runs when its turn comes at the present time."""
        loop = asyncio.get_running_loop()
        actor = Actor(name, coroutine)
        actor.wake = loop.create_future()
        actor.task = loop.create_task(self._live(actor))
        self._actors[actor] = None
        self._enter(actor, self._now)
        return actor

    async def run_until(self, end: float) -> None:
        """Let the actors live until the virtual time `end`, or until all have ended.

        Raises: whatever an actor raised; an actor must handle what it expects.
        """
        while self._agenda and self._agenda[0].time <= end:
            due = heapq.heappop(self._agenda)
            if due.turn != due.actor.turn or due.actor.ended:
                continue
            self._now = due.time
            await self._run(due.actor)
        self._now = max(self._now, end)

    async def close(self) -> None:
        """End every actor, in the order they were started.

        One that was at work when `run_until` was cancelled goes first: it
        would go on beside the others.
        """
        if self._current is not None:
            await self.kill(self._current)
            self._current = None
        for actor in list(self._actors):
            await self.kill(actor)

    async def kill(self, actor: Actor) -> None:
        """Crash a sleeping actor where it stands; its clean-up runs now."""
        if actor.task is None or actor.task.done():
            return
        before = self._current, self._parked
        self._current, self._parked = actor, None
        actor.turn += 1
        actor.task.cancel()
        try:
            # Not awaited itself: its cancellation would hide one of whoever kills it.
            await asyncio.wait([actor.task])
        finally:
            self._current, self._parked = before
        self._forget(actor)
        if not actor.task.cancelled():
            actor.task.result()

    async def _run(self, actor: Actor) -> None:
        """Give the actor its turn; return when it sleeps again or has ended."""
        self._current = actor
        self._parked = asyncio.get_running_loop().create_future()
        actor.turn += 1
        assert actor.wake is not None
        actor.wake.set_result(None)
        await self._parked
        self._current = None
        if actor.ended or actor not in self._actors:
            assert actor.task is not None
            await actor.task

    async def _live(self, actor: Actor) -> None:
        assert actor.wake is not None
        try:
            await actor.wake
            await actor.story
        finally:
            self._forget(actor)
            if self._parked is not None and not self._parked.done():
                self._parked.set_result(None)

    def _forget(self, actor: Actor) -> None:
        actor.story.close()
        self._actors.pop(actor, None)

    def _running_actor(self) -> Actor:
        actor = self._current
        assert actor is not None, "only an actor may sleep on the virtual clock"
        assert actor.task is asyncio.current_task(), (
            "a virtual actor must not fork tasks that sleep"
        )
        return actor

    def _enter(self, actor: Actor, time: float) -> None:
        self._sequence += 1
        due = _Due(time, self._random.random(), self._sequence, actor, actor.turn)
        heapq.heappush(self._agenda, due)

    async def _park(self, actor: Actor) -> None:
        actor.wake = asyncio.get_running_loop().create_future()
        assert self._parked is not None
        if not self._parked.done():  # Else nobody waits any more: the run was cancelled.
            self._parked.set_result(None)
        await actor.wake


class VirtualEvent:
    """An event whose waits pass in virtual time."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._is_set = False
        self._waiting: dict[Actor, int] = {}

    def set(self) -> None:
        self._is_set = True
        for actor, turn in self._waiting.items():
            if actor.turn == turn and not actor.ended:
                self._clock._enter(actor, self._clock.time())
        self._waiting.clear()

    def clear(self) -> None:
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set

    async def wait(self, timeout_s: float | None = None) -> bool:
        if self._is_set:
            return True
        actor = self._clock._running_actor()
        self._waiting[actor] = actor.turn
        if timeout_s is not None:
            self._clock._enter(actor, self._clock.time() + timeout_s)
        await self._clock._park(actor)
        # `set` empties the list of who waits; whoever still stands on it was woken by the timeout.
        return self._waiting.pop(actor, None) is None
