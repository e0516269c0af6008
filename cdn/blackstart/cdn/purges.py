"""What a node was ordered to forget, and whether it may still trust what it stored.

Whoever orders purges keeps them in a log. A *position* names a place in that
log; to a node it is a word that it stores and hands back. A *lease* is how long
a node may go without word from the log: when it has run out, purges may have
been acknowledged without this node.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Protocol
from urllib.parse import quote

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from blackstart.cdn.front.hosts import host_of
from blackstart.cdn.rules.invalidating import key_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from blackstart.cdn.storage.cache import Cache
from blackstart.clock import Clock, Event

BEGINNING = "0"
"""The position before the first order: who is there has missed nothing."""


# Not taken apart by `urlsplit`, to which `/a` and `/a?` are one page; to visitors they are two.
_URL = re.compile(r"(https?)://(?:[^/?#]*@)?([^/?#@]+)([^#]*)(?:#.*)?", re.IGNORECASE)
# What may stand in a target; all else comes percent-encoded from visitors.
_PRINTABLE = bytes(range(0x21, 0x7F))
_PORT = re.compile(":[0-9]+$")


def _is_page(url: str) -> str:
    _keys(url)
    return url


class What(BaseModel):
    """What to forget: whatever carries one of the tags, all variants of some URLs, or everything.

    `prefixes` are URLs, too: of all pages that begin so. `http://a.example/` is a whole site.
    A soft purge keeps it, stale: good for no more than to cover for a failing origin.
    """

    model_config = ConfigDict(extra="forbid")

    tags: list[str] | None = None
    urls: list[Annotated[str, AfterValidator(_is_page)]] | None = None
    prefixes: list[Annotated[str, AfterValidator(_is_page)]] | None = None
    everything: bool = False
    soft: bool = False

    @property
    def says_something(self) -> bool:
        """Whether it names anything at all; an empty list does."""
        named = (self.tags, self.urls, self.prefixes)
        return self.everything or any(each is not None for each in named)


class Order(What):
    """One order of the log; `position` is where the log stands after it."""

    position: str = Field(min_length=1)


class Message(BaseModel):
    """Orders that follow `after` without a gap. With `after` null: forget everything first.

    `more` says that further orders are on their way. Else the node knows all
    that the log held when the message was written, and may trust its store for
    `lease_s` seconds from `token` on; for good where there is no lease.
    """

    model_config = ConfigDict(extra="forbid")

    after: str | None
    orders: list[Order] = []
    position: str = Field(min_length=1)
    more: bool = False
    lease_s: float | None = Field(default=None, gt=0)
    token: float | None = None


class Forgetful(Protocol):
    """What carries orders out; each is done for good when it returns."""

    async def purge(self, tags: Iterable[str], *, soft: bool = False) -> int: ...

    async def purge_keys(self, keys: Iterable[str], *, soft: bool = False) -> int: ...

    async def purge_prefixes(self, prefixes: Iterable[str], *, soft: bool = False) -> int: ...

    async def purge_all(self, *, soft: bool = False) -> int: ...

    async def forget_unread(self) -> None:
        """What could not be read at the start is not to come back later. Raises: StorageError"""
        ...

    def trust_found(self) -> None:
        """What was found at the start is as right as the node's position says."""
        ...


class Place(Protocol):
    """Where a node keeps its position; for as long as it keeps its store, neither shorter."""

    async def read(self) -> str | None:
        """The position that was written last, if one was."""
        ...

    async def write(self, position: str) -> None:
        """Keep it: durable when this returns. Raises: StorageError"""
        ...


class PlaceInMemory:
    """`Place` of a node whose store is in memory as well."""

    def __init__(self) -> None:
        self.position: str | None = None

    async def read(self) -> str | None:
        return self.position

    async def write(self, position: str) -> None:
        self.position = position


class PlaceOfCache:
    """`Place` beside what a cache keeps on disk; in memory where it has none."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    async def read(self) -> str | None:
        return self._cache.position

    async def write(self, position: str) -> None:
        await self._cache.keep_position(position)


class Purges:
    """The orders that a node has carried out, and its lease.

    A node with a `lease_s` knows from its start that somebody orders purges, and
    trusts nothing until it has heard of them. So does one that finds a position
    in its `place`. Any other has no lease until it hears of one.
    """

    def __init__(
        self, clock: Clock, store: Forgetful, place: Place | None = None, *, lease_s: float | None
    ) -> None:
        self.position: str | None = None
        self.trusted_until = math.inf if lease_s is None else -math.inf
        self._lease_s = lease_s or 0.0
        self._clock = clock
        self._store = store
        self._place: Place = place or PlaceInMemory()
        self._busy: Event | None = None

    async def open(self) -> None:
        """Find out how far an earlier run came."""
        self.position = await self._place.read()
        if self.position is not None:
            self.trusted_until = -math.inf

    @property
    def heard(self) -> bool:
        """Whether what is stored may be served without asking the origin."""
        return self._clock.time() < self.trusted_until

    def may_share(self, begun_at: float) -> bool:
        """Whether an answer the origin was asked for at `begun_at` will do for a visitor of now.

        While purges are heard of, each ends the sharing of what it concerns. A
        purge that is not heard of is acknowledged after a lease at the earliest,
        so that answers younger than that are not too old.
        """
        return self.heard or self._clock.time() - begun_at < self._lease_s

    def token(self) -> float:
        """What the next message must bring back to prolong the lease.

        The lease counts from here, before the next message was written, so that
        a message may be on its way for any time and grants none the more.
        """
        return self._clock.time()

    async def obey(self, message: Message) -> int | None:
        """Carry out what is new; returns how many entries it made old.

        None, and nothing is done, when orders between would be missed: `position`
        says from where they are needed. Orders known already do no harm.
        Raises: StorageError when an order could not be carried out; those before it were.
        """
        async with self._alone():
            count = 0
            if message.after is None:
                count = await self._store.purge_all()
                await self._reach(message.position)
            orders = message.orders
            if message.after is not None:
                missed = self._missed(message.after, orders)
                if missed is None:
                    return None
                if self.position is not None:
                    self._store.trust_found()
                orders = missed
            for order in orders:
                count += await self.forget(order)
                await self._reach(order.position)
            if self.position is None:
                await self._reach(message.position)
            if not message.more:
                self._prolong(message.lease_s, message.token)
            return count

    async def forget_by_hand(self, what: What) -> int:
        """A purge of which no log will tell a later run; returns how many entries it made old.

        Raises: StorageError when it is not carried out for good.
        """
        count = await self.forget(what)
        await self._store.forget_unread()
        return count

    async def forget(self, what: What) -> int:
        """Carry out one purge; returns how many entries it made old."""
        if what.everything:
            return await self._store.purge_all(soft=what.soft)
        count = 0
        if what.tags:
            count = await self._store.purge(what.tags, soft=what.soft)
        if what.urls:
            keys = [key for url in what.urls for key in _keys(url)]
            count += await self._store.purge_keys(keys, soft=what.soft)
        if what.prefixes:
            keys = [key for url in what.prefixes for key in _keys(url)]
            count += await self._store.purge_prefixes(keys, soft=what.soft)
        return count

    def _missed(self, after: str, orders: list[Order]) -> list[Order] | None:
        """Those that follow the node's position; None when that is not among them."""
        # Who has no position has missed nothing if nothing was before.
        position = BEGINNING if self.position is None else self.position
        if position == after:
            return orders
        for index, order in enumerate(orders, 1):
            if order.position == position:
                return orders[index:]
        return None

    async def _reach(self, position: str) -> None:
        """Note how far the node came, once that is carried out and not before."""
        await self._place.write(position)
        self.position = position

    def _prolong(self, lease_s: float | None, token: float | None) -> None:
        if lease_s is None:
            self.trusted_until = math.inf
            return
        self._lease_s = lease_s
        if self.trusted_until == math.inf:
            self.trusted_until = -math.inf
        if token is not None:
            now = self._clock.time()
            longer = max(self.trusted_until, min(token, now) + lease_s)
            # What a clock that was set back has left over ends here.
            self.trusted_until = min(longer, now + lease_s)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """One message at a time: two at once could leave the older position behind."""
        while self._busy is not None:
            await self._busy.wait()
        busy = self._busy = self._clock.event()
        try:
            yield
        finally:
            self._busy = None
            busy.set()


def _keys(url: str) -> list[str]:
    """The keys of a URL's page: visitors may or may not have named the usual port.

    It may be given as people write it, `/a b` or `/ü`.

    Raises: ValueError when it is not the URL of a page.
    """
    parts = _URL.fullmatch(url.strip())
    host = None if parts is None else host_of(parts[2])
    if parts is None or host is None:
        raise ValueError("not the URL of a page")
    target = quote(parts[3] if parts[3].startswith("/") else f"/{parts[3]}", _PRINTABLE)
    usual = ":443" if parts[1].lower() == "https" else ":80"
    bare = host.removesuffix(usual)
    if bare != host or not _PORT.search(host):
        return [key_of(bare, target), key_of(bare + usual, target)]
    return [key_of(host, target)]
