"""The pages that show: what is open, the whole of one request, and the channel."""

from __future__ import annotations

import re

from starlette.requests import Request as Asked
from starlette.responses import Response

from blackstart.errors import NotFoundError
from blackstart.guard.decisions import FAILURE
from blackstart.guard.requests import Request
from blackstart.guard.web.choices import Choices
from blackstart.guard.web.house import House, client_of
from blackstart.guard.web.visits import Visit
from blackstart.store.threads import in_thread

REFRESH_S = 15
NEWEST = 200
_NUMBER = re.compile(r"[0-9]{1,8}")


class Pages:
    """Endpoints for those who are logged in. Raises (all methods): StorageError."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def requests(self, asked: Asked, visit: Visit) -> Response:
        """Those that wait for something; with `all=1` the newest of all."""
        everything = asked.query_params.get("all") == "1"
        book = self._house.decisions.book
        found = await in_thread(FAILURE, book.all if everything else book.open)
        shown = found[: -NEWEST - 1 : -1] if everything else found
        return self._house.page(
            "requests.html",
            visit,
            refresh_s=_refresh_s(asked),
            requests=[(each, each.foreseen()) for each in shown],
            everything=everything,
        )

    async def request(self, asked: Asked, visit: Visit) -> Response:
        """All there is to know about one of them. It is a look at data, and so on record."""
        request = await self.find(asked)
        self._house.trail.note(
            "page.shown",
            request=request.number,
            login=visit.login.name,
            client=client_of(asked),
        )
        return self.show(asked, visit, request)

    async def channel(self, asked: Asked, visit: Visit) -> Response:
        """The embedded channel, newest first."""
        lines = await self._house.channel.lines()
        return self._house.page(
            "channel.html", visit, refresh_s=_refresh_s(asked), lines=lines[: -NEWEST - 1 : -1]
        )

    async def find(self, asked: Asked) -> Request:
        """The request that a path names. Raises: NotFoundError."""
        number = asked.path_params["number"]
        if not _NUMBER.fullmatch(number):
            raise NotFoundError("there is no such request")
        return await in_thread(FAILURE, self._house.decisions.book.get, int(number))

    def show(
        self,
        asked: Asked,
        visit: Visit,
        request: Request,
        *,
        error: str = "",
        reason: str = "",
        status: int = 200,
    ) -> Response:
        """Its page; `error` tells why a word did not count, `reason` what was typed with it."""
        choices = Choices.of(request, visit.login)
        # A page with a form does not refresh itself: it would take away what is being typed.
        refreshes = request.is_open and not choices.any and asked.method == "GET"
        return self._house.page(
            "request.html",
            visit,
            status=status,
            refresh_s=_refresh_s(asked) if refreshes else 0,
            request=request,
            preview=request.foreseen(),
            choices=choices,
            error=error,
            reason=reason,
        )


def _refresh_s(asked: Asked) -> int:
    """None who reads slowly wants a page to move: `still=1` stops it."""
    return 0 if asked.query_params.get("still") == "1" else REFRESH_S
