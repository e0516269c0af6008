"""A whole guard, with its web page, before the embedded MongoDB, over real sockets."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pymongo import AsyncMongoClient
from tests.guard.web.other_side import OtherSide

from blackstart.clock import WallClock
from blackstart.guard.guardroom import Parts, Places
from blackstart.guard.logins import Logins, Role
from blackstart.guard.requests import Book, Request, RequestFolder, Saved
from blackstart.guard.service import open_guard
from blackstart.guard.settings import GuardSettings
from blackstart.seed import Seed
from blackstart.service import bind, url_of
from blackstart.store import ObjectStore

PASSWORD = "correct horse battery"
Client = AsyncMongoClient[dict[str, Any]]


class HastyClock(WallClock):
    """A clock on which nobody sleeps long."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / 200)


@dataclass
class Site:
    """A guard with a page, and those who come to it."""

    url: str
    address: str
    database: str
    folder: Path
    book: Book
    until: Callable[[Callable[[], bool]], Awaitable[None]]
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)

    @asynccontextmanager
    async def browser(self, name: str = "", password: str = PASSWORD) -> AsyncIterator[Browser]:
        async with httpx2.AsyncClient(base_url=self.url) as client:
            browser = Browser(client)
            if name:
                answer = await browser.log_in(name, password)
                assert answer.status_code == 303, answer.text
            yield browser

    @asynccontextmanager
    async def client(self, name: str) -> AsyncIterator[Client]:
        uri = f"mongodb://{name}:{PASSWORD}@{self.address}/?retryWrites=false&serverMonitoringMode=poll"
        async with AsyncMongoClient[dict[str, Any]](uri) as client:
            yield client

    async def held(self, name: str = "ada", **more: Any) -> Request:
        """The migration of February 2, asked for by `name`: the request that it has become."""
        known = len(self.book.all())
        self.tasks.append(asyncio.create_task(self.migrate(name, **more)))
        await self.until(lambda: len(self.book.all()) > known)
        return self.book.all()[-1]

    async def migrate(self, name: str, *, schema: Any = 3, comment: str = "") -> Any:
        async with self.client(name) as client:
            return await client[self.database]["deploys"].update_many(
                {"_id": {"$lt": 5}},
                {"$set": {"metadata": {"schema": schema}}},
                comment=comment or None,
            )

    async def ended(self) -> list[Any]:
        """How every write that was asked for has ended."""
        return await asyncio.gather(*self.tasks, return_exceptions=True)


@dataclass
class Browser:
    """An HTTP client that sends forms as a browser does."""

    http: httpx2.AsyncClient

    async def log_in(self, name: str, password: str = PASSWORD, **more: str) -> Any:
        return await self.post("/login", {"name": name, "password": password, **more})

    async def get(self, path: str, **fields: str) -> Any:
        return await self.http.get(path, headers=fields)

    async def text(self, path: str) -> str:
        answer = await self.get(path)
        assert answer.status_code == 200, answer.text
        return str(answer.text)

    async def post(
        self, path: str, form: Mapping[str, str], fields: Mapping[str, str] | None = None
    ) -> Any:
        own = {"origin": str(self.http.base_url).rstrip("/")}
        return await self.http.post(
            path, data=dict(form), headers=own if fields is None else fields
        )

    async def form(self, path: str) -> dict[str, str]:
        """The hidden fields of a page's forms."""
        found = re.findall(
            r'<input type="hidden" name="(\w+)" value="([^"]*)"', await self.text(path)
        )
        return {name: unescape(value) for name, value in found}

    async def say(self, request: int, word: str, **fields: str) -> Any:
        """Fill in a form as the page of a request has it, and send it."""
        hidden = await self.form(f"/requests/{request}")
        return await self.post(f"/requests/{request}/{word}", hidden | fields)


Serve = Callable[..., AbstractAsyncContextManager[Site]]


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file of logins: ada asks, bob reviews; ada has a second account that could."""
    path = tmp_path_factory.mktemp("people") / "logins.json"
    logins = Logins(path)
    logins.add("ada", PASSWORD)
    logins.add("ada2", PASSWORD, person="ada", roles=[Role.REVIEWER])
    logins.add("bob", PASSWORD, roles=[Role.REVIEWER])
    logins.add("eve", PASSWORD)
    logins.add("control", PASSWORD, roles=[Role.SERVICE, Role.REVIEWER])
    return path.read_bytes()


@pytest.fixture
def serve(mongodb_uri: str, store: Any, tmp_path: Path, people: bytes, until: Any) -> Serve:
    """Runs a guard with its page; takes settings."""

    @asynccontextmanager
    async def serve(**given: Any) -> AsyncIterator[Site]:
        await store.database["deploys"].delete_many({})
        await store.database["deploys"].insert_many(
            {"_id": number, "site_id": number, "metadata": {"tree": "t", "count": number}}
            for number in range(20)
        )
        folder = tmp_path / "guard"
        folder.mkdir(exist_ok=True)
        Places(folder).logins.write_bytes(people)
        settings = GuardSettings(
            mongodb_uri=mongodb_uri, guard_data=folder, **{"guard_wait_s": 30.0} | given
        )
        async with AsyncExitStack() as stack:
            own = await stack.enter_async_context(AsyncMongoClient[dict[str, Any]](mongodb_uri))
            sock = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            page_sock = stack.enter_context(bind("127.0.0.1:0"))
            address = f"127.0.0.1:{sock.getsockname()[1]}"
            clock = HastyClock()
            parts = Parts(own, _save, ObjectStore.open("memory://"), clock, Seed.from_entropy())
            guard = await stack.enter_async_context(open_guard(settings, parts, address))
            ready = asyncio.Event()
            cert = settings.guard_tls_cert
            running = asyncio.create_task(
                guard.run(sock, page_sock, tls_cert=cert, ready=ready.set)
            )
            stack.push_async_callback(_end, running)
            await ready.wait()
            book = Book(RequestFolder(Places(folder).requests), clock)
            url = url_of(page_sock, "http" if cert is None else "https")
            site = Site(url, address, store.database.name, folder, book, until)
            try:
                yield site
            finally:
                # Whoever still waits sees the guard end, and closes its client in peace.
                await _end(running)
                await site.ended()

    return serve


async def _save(request: Request) -> Saved:
    return Saved("snapshot-1", "blackstart snapshot restore snapshot-1")


async def _end(running: asyncio.Task[None]) -> None:
    running.cancel()
    await asyncio.wait([running])
    if not running.cancelled():
        running.result()


@pytest.fixture
async def site(serve: Serve) -> AsyncIterator[Site]:
    async with serve() as site:
        yield site


@pytest.fixture
async def other_side() -> AsyncIterator[OtherSide]:
    other_side = OtherSide()
    yield other_side
    await other_side.stop()
