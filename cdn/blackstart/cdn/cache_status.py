"""The Cache-Status header (RFC 9211): what a node did with a request, for people and drills."""

from __future__ import annotations

import re
from functools import lru_cache

from blackstart.errors import UsageError

_TOKEN = re.compile(r"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*")


class CacheStatus:
    """Writes the header's values for one node.

    Raises: UsageError when the node's name is not a structured-field token.
    """

    def __init__(self, name: str) -> None:
        if _TOKEN.fullmatch(name) is None:
            raise UsageError(
                f"{name!r} cannot name a node",
                hint="start with a letter, go on with letters, digits, '-', '.' or '_'",
            )
        self.hit = f"{name}; hit"
        # Section 2.2 has either `hit` or `fwd`. Both together say what the drills look for:
        # the request went forward, and yet the cache answered it.
        self.stale = f"{name}; hit; fwd=stale"
        self._name = name
        self.forwarded = lru_cache(maxsize=256)(self._forwarded)

    def _forwarded(self, reason: str, status: int | None = None, stored: bool = False) -> str:
        """The value for a request that went to the origin because of `reason`."""
        parts = [self._name, f"fwd={reason}"]
        if status is not None:
            parts.append(f"fwd-status={status}")
        if stored:
            parts.append("stored")
        return "; ".join(parts)
