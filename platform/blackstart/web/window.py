"""How often something may be done in a minute, by key, and the key of where a request came from."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict

from starlette.types import Scope

from blackstart.clock import Clock

WINDOW_S = 60
MAX_KEYS = 10_000


class Window:
    """Counts by key in the running minute of the clock; every minute starts from nothing.

    No more than `max_keys` are kept: beyond that, those that were quiet
    longest are forgotten.
    """

    def __init__(self, clock: Clock, limit: int, *, max_keys: int = MAX_KEYS) -> None:
        self._clock = clock
        self.limit = limit
        self._max_keys = max_keys
        self._minute = 0
        self._counts: OrderedDict[str, int] = OrderedDict()

    def __contains__(self, key: str) -> bool:
        self._turn()
        return key in self._counts

    def __len__(self) -> int:
        self._turn()
        return len(self._counts)

    def left(self, key: str) -> int:
        """How many more this minute."""
        self._turn()
        return max(0, self.limit - self._counts.get(key, 0))

    def take(self, key: str) -> bool:
        """Count one more; False, and nothing counted, when none are left."""
        if self.left(key) == 0:
            return False
        self._counts[key] = self._counts.get(key, 0) + 1
        self._counts.move_to_end(key)
        while len(self._counts) > self._max_keys:
            self._counts.popitem(last=False)
        return True

    def resets_at(self) -> int:
        """When the next minute starts, in seconds since the Unix epoch."""
        return (int(self._clock.time() // WINDOW_S) + 1) * WINDOW_S

    def _turn(self) -> None:
        minute = int(self._clock.time() // WINDOW_S)
        if minute != self._minute:
            self._minute = minute
            self._counts.clear()


def peer_of(scope: Scope) -> str:
    """The address that the connection came from; of IPv6 the network, which one client owns."""
    client = scope.get("client")
    if client is None:
        return "unknown"
    try:
        address = ipaddress.ip_address(client[0])
    except ValueError:
        return str(client[0])
    if address.version == 4:
        return str(address)
    return str(ipaddress.ip_network((int(address), 64), strict=False).network_address)
