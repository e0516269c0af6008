"""Asking a node for many pages, a few at a time, and what came of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import http_sf
import httpx2

from blackstart.cli.api_client import is_here
from blackstart.cli.cdn_options import Page
from blackstart.cli.console import err
from blackstart.cli.progress import bar
from blackstart.cli.tables import plain

SILENCE_S = 60.0
PAGE_S = 600.0
"""How long one page may take in all: some never end."""
TOLD = 10
"""How many failures are told one by one."""


class Warming:
    """Counts, by what the node says about each page in Cache-Status, and by its `detail`."""

    def __init__(self, address: str, pages: list[Page], fields: dict[str, str]) -> None:
        self.stored: Counter[str] = Counter()
        self.held: Counter[str] = Counter()
        self.kept_out: Counter[str] = Counter()
        self.failed = 0
        self._address = address
        self._pages = pages
        self._fields = fields

    async def run(self, concurrency: int) -> bool:
        """Ask for all pages; True at the end."""
        async with httpx2.AsyncClient(
            timeout=SILENCE_S,
            trust_env=not is_here(self._address),
            limits=httpx2.Limits(max_connections=concurrency),
        ) as client:
            # Waiting visitors share one list, so nobody holds the others up.
            rest = iter(self._pages)
            with bar("warming", len(self._pages)) as progress:
                async with asyncio.TaskGroup() as group:
                    for _ in range(min(concurrency, len(self._pages))):
                        group.create_task(self._visit_all(client, rest, progress.advance))
        if self.failed > TOLD:
            err.print(f"... and {self.failed - TOLD} more failed")
        return True

    def __str__(self) -> str:
        return (
            f"{_told(self.stored, 'stored')}, {_told(self.held, 'held already')}, "
            f"{_told(self.kept_out, 'not stored')}, {self.failed} failed"
        )

    async def _visit_all(
        self, client: httpx2.AsyncClient, rest: Iterator[Page], done: Callable[[], None]
    ) -> None:
        for page in rest:
            try:
                async with asyncio.timeout(PAGE_S):
                    await self._visit(client, page)
            except TimeoutError:
                self._fail(page, f"it took over {PAGE_S:g} s")
            except httpx2.HTTPError as error:
                self._fail(page, str(error) or type(error).__name__)
            done()

    async def _visit(self, client: httpx2.AsyncClient, page: Page) -> None:
        request = client.build_request(
            "GET",
            self._address + "/",
            headers={**self._fields, "Host": page.host},
            # As it was written: no client's idea of a path comes between.
            extensions={"target": page.target.encode("ascii")},
        )
        response = await client.send(request, stream=True)
        try:
            async for _ in response.aiter_raw():
                pass
        finally:
            await response.aclose()
        if response.status_code >= 400:
            self._fail(page, f"{response.status_code}")
            return
        said = _last_member(response.headers.get("cache-status") or "")
        if "stored" in said:
            which = self.stored
        elif "hit" in said or "collapsed" in said or said.get("fwd-status") == 304:
            which = self.held
        else:
            which = self.kept_out
        which[str(said.get("detail", ""))] += 1

    def _fail(self, page: Page, reason: str) -> None:
        self.failed += 1
        if self.failed <= TOLD:
            err.print(plain(f"failed: {page}: {reason}"), markup=False, soft_wrap=True)


def _last_member(field: str) -> dict[str, Any]:
    """What the last cache says of an answer (RFC 9211 section 2): that is the node."""
    try:
        members: Any = http_sf.parse(field.encode(), tltype="list")
    except http_sf.StructuredFieldError:
        return {}
    return dict(members[-1][1]) if members else {}


def _told(counts: Counter[str], what: str) -> str:
    """How many, and of those that the node says something about, how many of each."""
    details = [f"{detail} {count}" for detail, count in sorted(counts.items()) if detail]
    return f"{counts.total()} {what}" + (f" ({', '.join(details)})" if details else "")
