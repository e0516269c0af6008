"""The log of purges: in the `purges` collection, or in memory where one process is all there is."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

from pymongo import ASCENDING, DESCENDING
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError, PyMongoError

from blackstart.errors import DatabaseError
from blackstart.model.purge import BEGINNING, PurgeOrder, What, generation_of

KEPT = 10_000
"""How many orders the log keeps: a node that lacks more forgets everything."""


STEPS = 100
MOST = 2**63 - 1


class PurgeLog(Protocol):
    """Orders without gaps, in the order in which they were appended, whoever did.

    All raise DatabaseError when the log cannot be reached.
    """

    async def append(self, what: What, mark: str, at: datetime) -> PurgeOrder:
        """Number an order. Whoever reads the log from now on finds it."""
        ...

    async def latest(self, count: int) -> list[PurgeOrder]:
        """The orders that were appended last, at most `count`, oldest first."""
        ...

    async def since(self, position: str) -> list[PurgeOrder] | None:
        """What followed a position; None when the log does not, or no longer, know it."""
        ...


class PurgeLogInMemory:
    """`PurgeLog` of a platform in one process."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._orders: list[PurgeOrder] = []

    async def append(self, what: What, mark: str, at: datetime) -> PurgeOrder:
        last = self._orders[-1] if self._orders else None
        order = _following(last, what, mark, at)
        self._orders.append(order)
        del self._orders[: -self._kept]
        return order

    async def latest(self, count: int) -> list[PurgeOrder]:
        return self._orders[-count:]

    async def since(self, position: str) -> list[PurgeOrder] | None:
        # From the end: hardly any node lacks more than one.
        for index in range(len(self._orders) - 1, -1, -1):
            if self._orders[index].position == position:
                return self._orders[index + 1 :]
        first = self._orders[0].after if self._orders else BEGINNING
        return list(self._orders) if position == first else None


class PurgeLogInMongo:
    """`PurgeLog` that many processes share.

    The next number is whoever inserts it first: the unique `_id` makes a log
    without gaps of what several append at once. As there are none, orders are
    looked up one by one by `_id`, which costs the same however long the log is:
    the embedded database reads a whole collection for a range or an order.
    """

    def __init__(self, collection: AsyncCollection[dict[str, Any]], kept: int = KEPT) -> None:
        self._orders = collection
        self._kept = kept
        self._newest_seen = 0

    async def append(self, what: What, mark: str, at: datetime) -> PurgeOrder:
        try:
            while True:
                order = _following(await self._newest(), what, mark, at)
                try:
                    await self._orders.insert_one(_to_mongo(order))
                    break
                except DuplicateKeyError:
                    continue
            await self._orders.delete_one({"_id": order.generation - self._kept})
        except PyMongoError as error:
            raise _unreachable(error) from error
        return order

    async def latest(self, count: int) -> list[PurgeOrder]:
        try:
            order = await self._newest()
            orders: list[PurgeOrder] = []
            while order is not None and len(orders) < count:
                orders.insert(0, order)
                order = await self._at(order.generation - 1)
        except PyMongoError as error:
            raise _unreachable(error) from error
        return orders

    async def since(self, position: str) -> list[PurgeOrder] | None:
        try:
            generation = generation_of(position)
        except ValueError:
            return None
        try:
            return await self._since(position, generation)
        except PyMongoError as error:
            raise _unreachable(error) from error

    async def _since(self, position: str, generation: int) -> list[PurgeOrder] | None:
        following = await self._at(generation + 1)
        if following is None:
            at_end = await self._newest()
            end = BEGINNING if at_end is None else at_end.position
            return [] if position == end else None
        if following.after != position:
            return None
        orders = []
        while following is not None:
            orders.append(following)
            if len(orders) > STEPS:
                return orders + await self._beyond(following.generation)
            following = await self._at(following.generation + 1)
        return orders

    async def _beyond(self, generation: int) -> list[PurgeOrder]:
        cursor = self._orders.find({"_id": {"$gt": generation}}).sort("_id", ASCENDING)
        return [_from_mongo(raw) async for raw in cursor]

    async def _newest(self) -> PurgeOrder | None:
        """Upwards from the newest one that was seen before."""
        order = await self._at(self._newest_seen)
        if order is None:
            raw = await self._orders.find_one({}, sort=[("_id", DESCENDING)])
            order = None if raw is None else _from_mongo(raw)
        following = order
        while following is not None:
            order = following
            following = await self._at(order.generation + 1)
        self._newest_seen = 0 if order is None else order.generation
        return order

    async def _at(self, generation: int) -> PurgeOrder | None:
        if not 0 < generation < MOST:
            return None
        raw = await self._orders.find_one({"_id": generation})
        return None if raw is None else _from_mongo(raw)


def _following(last: PurgeOrder | None, what: What, mark: str, at: datetime) -> PurgeOrder:
    if last is None:
        return PurgeOrder(1, mark, BEGINNING, what, at)
    return PurgeOrder(last.generation + 1, mark, last.position, what, at)


def _to_mongo(order: PurgeOrder) -> dict[str, Any]:
    chain = {"_id": order.generation, "mark": order.mark, "after": order.after, "at": order.at}
    return {**chain, **order.what.to_json()}


def _from_mongo(raw: dict[str, Any]) -> PurgeOrder:
    what = What(tuple(raw["tags"]), tuple(raw["urls"]), raw["everything"], raw["soft"])
    return PurgeOrder(raw["_id"], raw["mark"], raw["after"], what, raw["at"])


def _unreachable(error: PyMongoError) -> DatabaseError:
    reason = str(error).splitlines()[0][:160]
    return DatabaseError(f"the log of purges cannot be reached: {reason}")
