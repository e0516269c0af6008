"""The guard's answer to `hello`: the database's own, as if it lived where the guard does.

A driver goes where `hosts` and `primary` send it; were they left as they are,
it would walk round the guard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from blackstart.clock import Clock
from blackstart.errors import DatabaseError
from blackstart.guard.logins import MECHANISM
from blackstart.guard.proxy.upstream import Upstream, UpstreamConnection
from blackstart.wire import agreed_compressors

FRESH_S = 1.0
ANSWER_S = 10.0
"""A database that hangs, or is behind a network that drops all, is given up after this."""
_NOT_OURS = frozenset(
    # The set's other members, and what lets a driver wait for a change of it in one long answer.
    {"passives", "arbiters", "tags", "topologyVersion", "connectionId", "lastWrite"}
    # Of the guard's own connection to the database.
    | {"compression", "saslSupportedMechs", "speculativeAuthenticate", "isreplicaset"}
)


class Greeting:
    """What the database says of itself, asked at most once a second, whoever asks."""

    def __init__(self, upstream: Upstream, clock: Clock, address: str) -> None:
        """`address` is HOST:PORT, where clients reach the guard."""
        self._upstream = upstream
        self._clock = clock
        self._address = address
        self._connection: UpstreamConnection | None = None
        self._asking = asyncio.Lock()
        self._known: dict[str, Any] = {}
        self._known_at = float("-inf")

    async def hello(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a `hello` or `isMaster`. Raises: DatabaseError when nobody is behind."""
        answer = {key: each for key, each in (await self._ask()).items() if key not in _NOT_OURS}
        if "setName" in answer:
            answer |= {"hosts": [self._address], "me": self._address, "primary": self._address}
        primary = answer.get("isWritablePrimary", answer.get("ismaster", False))
        answer |= {"isWritablePrimary": primary, "ismaster": primary, "helloOk": True}
        if compressors := agreed_compressors(command.get("compression")):
            answer["compression"] = compressors
        if "saslSupportedMechs" in command:
            # The same for every name, so that nobody learns which logins exist.
            answer["saslSupportedMechs"] = [MECHANISM]
        return answer

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.closed()

    async def _ask(self) -> dict[str, Any]:
        async with self._asking:
            # A wall clock that was set back makes nothing fresh.
            if not 0 <= self._clock.time() - self._known_at < FRESH_S:
                self._known = await self._fresh()
                self._known_at = self._clock.time()
            return self._known

    async def _fresh(self) -> dict[str, Any]:
        """Raises: DatabaseError, also when no answer comes: the next who asks connects anew."""
        try:
            if self._connection is None:
                self._connection = await self._upstream.connect()
            async with asyncio.timeout(ANSWER_S):
                answer = await self._connection.call({"hello": 1, "$db": "admin"})
        except TimeoutError as error:
            await self.close()
            raise DatabaseError(f"the database says nothing for {ANSWER_S:g} s") from error
        except BaseException:
            await self.close()
            raise
        if "setName" in answer and not answer.get("isWritablePrimary"):
            # Another member is elected. Who has a connection to this one has to leave it, too.
            self._upstream.forget_primary()
            await self.close()
        return answer
