"""A hop that tells the origin what it cannot see from behind a node: whom it answers, and where."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from blackstart.cdn.hop.hop import Hop
from blackstart.cdn.message import Request, Response

CLIENT_FIELD: Final = "x-forwarded-for"


class IntroducingHop:
    """A hop that asks for one `host`, whatever host visitors asked for, and names the visitor.

    The visitor's host is then in X-Forwarded-Host. With `tells_client` the
    visitor's address is in X-Forwarded-For: pages are shared all the same, so
    that an origin whose answer depends on it has to say so, by Vary or `private`.
    """

    def __init__(self, hop: Hop, *, host: str | None, tells_client: bool) -> None:
        self._hop = hop
        self._host = host
        self._tells_client = tells_client

    async def send(self, request: Request) -> Response:
        added = []
        if self._host is not None:
            added.append(("x-forwarded-host", request.host))
        if self._tells_client and request.client is not None:
            added.append((CLIENT_FIELD, request.client))
        host = request.host if self._host is None else self._host
        headers = request.headers.without({name for name, _ in added}).plus(*added)
        return await self._hop.send(replace(request, host=host, headers=headers))

    async def close(self) -> None:
        await self._hop.close()
