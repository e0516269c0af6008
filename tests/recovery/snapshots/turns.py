"""Actors that share an object store and move one touch of it at a time, in an order of a seed's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any

import bson
import pytest

from blackstart.recovery.snapshots import taking
from blackstart.recovery.snapshots.source import Inventory
from blackstart.store import ObjectStore

KEYS = 10


class Crash(BaseException):
    """The process ends here: nothing after it runs, no clean-up either."""


class Actor:
    """One process: it waits for its turn before each touch of the store."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.task: asyncio.Task[None] | None = None
        self.dead = False
        self._turn: asyncio.Future[None] | None = None
        self._stands = asyncio.Event()

    async def turn(self) -> None:
        if self.dead:
            raise Crash
        self._turn = asyncio.get_running_loop().create_future()
        self._stands.set()
        await self._turn
        if self.dead:
            raise Crash

    def start(self, story: Coroutine[Any, Any, None]) -> None:
        async def live() -> None:
            with suppress(Crash):
                await story

        self.task = asyncio.get_running_loop().create_task(live())
        self.task.add_done_callback(lambda _: self._stands.set())

    @property
    def ended(self) -> bool:
        return self.task is not None and self.task.done()

    async def step(self, *, crash: bool = False) -> None:
        """One touch, up to the next; or none, and the end."""
        await self._stands.wait()
        if self.ended:
            return
        self._stands.clear()
        self.dead = self.dead or crash
        assert self._turn is not None
        self._turn.set_result(None)
        await self._stands.wait()


class ActorStore(ObjectStore):
    """One actor's door to the object store that all share."""

    actor: Actor

    @classmethod
    def of(cls, objects: ObjectStore, actor: Actor) -> ActorStore:
        made = cls(objects.backend)
        made.actor = actor
        return made

    async def put(self, key: str, data: bytes) -> None:
        await self.actor.turn()
        await super().put(key, data)

    async def put_new(self, key: str, data: bytes) -> bool:
        await self.actor.turn()
        return await super().put_new(key, data)

    async def get(self, key: str) -> bytes:
        await self.actor.turn()
        return await super().get(key)

    async def delete(self, keys: Iterable[str]) -> None:
        for key in list(keys):
            await self.actor.turn()
            await super().delete([key])

    async def list_sizes(self, prefix: str) -> dict[str, int]:
        await self.actor.turn()
        return await super().list_sizes(prefix)


class FakeDatabase:
    """What a snapshot needs of a database: collections of numbers, in `_id` order."""

    name = "blackstart"

    def __init__(self, values: dict[int, int]) -> None:
        self.values = dict(values)

    async def batches(self, collection: str) -> AsyncGenerator[bytes, None]:
        yield b"".join(bson.encode({"_id": key, "n": n}) for key, n in sorted(self.values.items()))

    @property
    def is_consistent(self) -> bool:
        return True


def use_fake_databases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have takes read them."""

    @asynccontextmanager
    async def reading(database: FakeDatabase) -> AsyncIterator[FakeDatabase]:
        yield database

    async def inventory_of(database: FakeDatabase) -> Inventory:
        return Inventory({"deploys": ({}, [])}, {}, [])

    monkeypatch.setattr(taking, "reading", reading)
    monkeypatch.setattr(taking, "inventory_of", inventory_of)


def changed(values: dict[int, int], random: Random) -> dict[int, int]:
    """A few values more, fewer, others, or as they once were."""
    after = dict(values)
    for _ in range(random.randrange(4)):
        key = random.randrange(KEYS)
        if random.random() < 0.2:
            after.pop(key, None)
        else:
            after[key] = random.randrange(2)
    return after
