"""How often something is done: at each multiple of an interval, as the clock shows it in UTC."""

from __future__ import annotations

import re
from dataclasses import dataclass

from blackstart.errors import UsageError

UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
LONGEST_S = 31 * UNITS_S["d"]


@dataclass(frozen=True)
class Every:
    """An interval in whole seconds, its multiples counted from 1970: `1d` is midnight UTC."""

    seconds: int

    @classmethod
    def parse(cls, text: str) -> Every:
        """From `90s`, `15m`, `6h` or `1d`. Raises: UsageError."""
        found = re.fullmatch(r"([1-9][0-9]{0,6})([smhd])", text.strip())
        seconds = int(found[1]) * UNITS_S[found[2]] if found else 0
        if not 0 < seconds <= LONGEST_S:
            raise UsageError(f"no interval: {text!r}", hint="write it like 15m, 6h or 1d")
        return cls(seconds)

    def last(self, at: float) -> int:
        """The multiple at or before a moment, in seconds since 1970."""
        return int(at // self.seconds) * self.seconds

    def next(self, at: float) -> int:
        """The multiple after a moment."""
        return self.last(at) + self.seconds

    def __str__(self) -> str:
        unit = next(each for each in "dhms" if self.seconds % UNITS_S[each] == 0)
        return f"{self.seconds // UNITS_S[unit]}{unit}"


FREQUENT = Every(15 * 60)
"""With the safeguard `frequent-snapshots`."""
DAILY = Every(UNITS_S["d"])
