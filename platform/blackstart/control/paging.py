"""Long lists, page by page: what the client asked for, and where the other pages are."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qsl, quote, urlencode

from fastapi import Query, Request, Response

LAST_PAGE = 100_000
MAX_PER_PAGE = 100
DEFAULT_PER_PAGE = 50


class Paging:
    """A dependency: `page` from 1, `per_page` from 1 to 100, as `Annotated[Paging, Depends()]`."""

    def __init__(
        self,
        request: Request,
        response: Response,
        page: Annotated[int, Query(ge=1, le=LAST_PAGE)] = 1,
        per_page: Annotated[int, Query(ge=1, le=MAX_PER_PAGE)] = DEFAULT_PER_PAGE,
    ) -> None:
        self._request = request
        self._response = response
        self.page = page
        self.per_page = per_page

    @property
    def skip(self) -> int:
        """How many entries lie before this page."""
        return (self.page - 1) * self.per_page

    @property
    def limit(self) -> int:
        """How many entries this page may have."""
        return self.per_page

    def link(self, count: int, *, total: int | None = None) -> None:
        """Set the Link field (RFC 8288): first, prev, next, and last when `total` is known.

        `count` is how many entries this page has; without a total a full page
        is taken to have a next one. The targets are relative references with
        all other parameters kept: they hold behind any proxy.
        """
        last = None if total is None else min(LAST_PAGE, max(1, -(-total // self.per_page)))
        pages = {"first": 1}
        if self.page > 1:
            pages["prev"] = self.page - 1 if last is None else min(self.page - 1, last)
        if self.page < (last or LAST_PAGE) and (last is not None or count == self.per_page):
            pages["next"] = self.page + 1
        if last is not None:
            pages["last"] = last
        self._response.headers["link"] = ", ".join(
            f'<{self._target(page)}>; rel="{rel}"' for rel, page in pages.items()
        )

    def _target(self, page: int) -> str:
        url = self._request.url
        kept = [
            (key, value)
            for key, value in parse_qsl(url.query, keep_blank_values=True)
            if key not in ("page", "per_page")
        ]
        query = urlencode([*kept, ("page", page), ("per_page", self.per_page)])
        return f"{quote(self._request.scope['path'])}?{query}"
