"""What every way to the next server has in common."""

from __future__ import annotations

from typing import Protocol

from blackstart.cdn.message import Request, Response


class Hop(Protocol):
    """The way to the next server."""

    async def send(self, request: Request) -> Response:
        """Pass a request on and return the answer as it came: no redirect followed, no decoding.

        Raises: HopError when there is no answer, and from the body when it breaks off.
        """
        ...

    async def close(self) -> None:
        """Free what the hop holds."""
        ...
