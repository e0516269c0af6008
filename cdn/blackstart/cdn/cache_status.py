"""The Cache-Status field (RFC 9211): what a node did with a request, for people and drills."""

from __future__ import annotations

import re

from blackstart.cdn.message import Headers
from blackstart.errors import UsageError

_TOKEN = re.compile(r"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*")


STALE_IF_ERROR = "stale-if-error"
STALE_WHILE_REVALIDATE = "stale-while-revalidate"


def is_from_cache(headers: Headers) -> bool:
    """Whether the last node sent what it held: fresh, or stale in the place of an error."""
    values = headers.all("cache-status")
    return bool(values) and ("; hit" in values[-1] or STALE_IF_ERROR in values[-1])


class CacheStatus:
    """Writes the field's values for one node; with `tells_key` they end with the cache key.

    Raises: UsageError when the node's name is not a structured-field token.
    """

    def __init__(self, name: str, *, tells_key: bool = False) -> None:
        if _TOKEN.fullmatch(name) is None:
            raise UsageError(
                f"{name!r} cannot name a node",
                hint="start with a letter, go on with letters, digits, '-', '.' or '_'",
            )
        self._name = name
        self._tells_key = tells_key

    def hit(self, key: str, ttl_s: float, detail: str = "") -> str:
        """The value for a stored response; `ttl_s` is below 0 when it is stale (section 2.4)."""
        return self._value(["hit", f"ttl={int(ttl_s)}"], detail, key)

    def forwarded(
        self,
        key: str,
        reason: str,
        status: int | None = None,
        *,
        stored: bool = False,
        collapsed: bool = False,
        detail: str = "",
    ) -> str:
        """The value for a request that went to the origin because of `reason` (section 2.2)."""
        parts = [f"fwd={reason}"]
        if status is not None:
            parts.append(f"fwd-status={status}")
        if stored:
            parts.append("stored")
        if collapsed:
            parts.append("collapsed")
        return self._value(parts, detail, key)

    def _value(self, parts: list[str], detail: str, key: str) -> str:
        if detail:
            parts.append(f"detail={detail}")
        # A String holds printable ASCII (RFC 8941 section 3.3.3).
        if self._tells_key and key.isascii() and key.isprintable():
            text = key.replace("\\", "\\\\").replace('"', '\\"')
            parts.append(f'key="{text}"')
        return "; ".join([self._name, *parts])
