"""How often a password may be tried: by address and by name, in each minute."""

from __future__ import annotations

import math

from blackstart.clock import Clock
from blackstart.errors import RateLimitedError
from blackstart.web.window import Window

TRIES = 10
NAME_CHARACTERS = 64


class Tries:
    """Counts tries before they are made: many at once are no way round it."""

    def __init__(self, clock: Clock, limit: int = TRIES) -> None:
        self._clock = clock
        self._by_address = Window(clock, limit)
        self._by_name = Window(clock, limit)

    def take(self, address: str, name: str) -> None:
        """Raises: RateLimitedError when this address, or this name, was tried too often."""
        if self._by_address.take(address) and self._by_name.take(name[:NAME_CHARACTERS]):
            return
        wait_s = max(1, math.ceil(self._by_address.resets_at() - self._clock.time()))
        raise RateLimitedError("too many tries to log in", retry_after_s=wait_s)
