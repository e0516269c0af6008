"""The line to one node: what it lacks of the log of purges goes out, where it stands comes back."""

from __future__ import annotations

from typing import Any

import httpx2

from blackstart.errors import HopError
from blackstart.model.purge import BEGINNING, PurgeOrder, generation_of
from blackstart.store.purges import PurgeLog

PURGE_PATH = "/.blackstart/purge"
ATTEMPTS = 20
GUESS = 100
"""How many orders go to a node of which nothing is known."""
AT_ONCE = 1_000
UNKNOWN = ""
"""The position of a node that has none; no log knows it."""


class Line:
    """One node. Remembers what the node last said of itself; a wrong memory costs a question."""

    def __init__(
        self, node: httpx2.AsyncClient, token: str, orders: PurgeLog, lease_s: float | None
    ) -> None:
        self.name = str(node.base_url)
        self._node = node
        self._headers = {"Authorization": f"Bearer {token}"}
        self._orders = orders
        self._lease_s = lease_s
        self._position: str | None = None
        self._token: float | None = None

    async def bring(self, order: PurgeOrder | None) -> None:
        """Bring the node where the log is, or at least past `order`.

        Raises: HopError when the node does not confirm; DatabaseError.
        """
        for _ in range(ATTEMPTS):
            # The token is older than what is read of the log now: a lease counts from it.
            token = self._token
            message = await self._message()
            confirmed = await self._send({**message, "token": token})
            if confirmed and not message["more"] and (order is not None or self._is_leased(token)):
                return
            if not confirmed and order is not None and await self._is_past(order):
                return
        raise HopError("the node did not catch up")

    async def close(self) -> None:
        """Close the connection."""
        await self._node.aclose()

    async def _message(self) -> dict[str, Any]:
        if self._position is None:
            orders: list[PurgeOrder] | None = await self._orders.latest(GUESS)
            after = orders[0].after if orders else BEGINNING
        else:
            after = self._position
            orders = await self._orders.since(after)
        if orders is None:
            newest = await self._orders.latest(1)
            position = newest[0].position if newest else BEGINNING
            return self._worded(None, [], position, more=False)
        more = len(orders) > AT_ONCE
        orders = orders[:AT_ONCE]
        return self._worded(after, orders, orders[-1].position if orders else after, more=more)

    def _worded(
        self, after: str | None, orders: list[PurgeOrder], position: str, *, more: bool
    ) -> dict[str, Any]:
        return {
            "after": after,
            "orders": [{"position": order.position, **order.what.to_json()} for order in orders],
            "position": position,
            "more": more,
            "lease_s": self._lease_s,
        }

    async def _send(self, message: dict[str, Any]) -> bool:
        """Whether the node could follow; either way it has said where it stands."""
        try:
            response = await self._node.post(PURGE_PATH, json=message, headers=self._headers)
            if response.status_code != 409:
                response.raise_for_status()
            answer = response.json()
            self._position = UNKNOWN if answer["position"] is None else str(answer["position"])
            self._token = float(answer["token"])
        except httpx2.HTTPError as error:
            raise HopError(str(error) or type(error).__name__) from error
        except (ValueError, KeyError, TypeError) as error:
            raise HopError("the node's answer to a purge makes no sense") from error
        return response.status_code != 409

    def _is_leased(self, token: float | None) -> bool:
        """Whether a message with this token left much of the lease it granted."""
        if self._lease_s is None:
            return True
        return (
            token is not None
            and self._token is not None
            and (self._token - token < self._lease_s / 2)
        )

    async def _is_past(self, order: PurgeOrder) -> bool:
        """Whether somebody else has told the node meanwhile."""
        position = self._position
        if position is None or await self._orders.since(position) is None:
            return False
        return generation_of(position) >= order.generation
