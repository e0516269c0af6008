"""A guard with an open gate before the embedded MongoDB, over real sockets."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from blackstart.clock import Clock, WallClock
from blackstart.guard.logins import Logins
from blackstart.guard.proxy.asked import Asked, Passage
from blackstart.guard.proxy.server import Proxy
from blackstart.guard.proxy.upstream import Upstream
from blackstart.wire import CommandError

PASSWORD = "correct horse battery"
Client = AsyncMongoClient[dict[str, Any]]


class Told:
    """Keeps how each of its commands ended."""

    def __init__(self, gate: OpenGate, name: str) -> None:
        self._gate, self._name = gate, name

    async def answered(self, answer: Mapping[str, Any]) -> None:
        self._gate.ends.append((self._name, "answered", bool(answer.get("ok"))))

    async def not_sent(self) -> None:
        self._gate.ends.append((self._name, "not sent", None))

    async def lost(self) -> None:
        self._gate.ends.append((self._name, "lost", None))


@dataclass
class OpenGate:
    """Lets everything through but what is named `closed`, and remembers it."""

    asked: list[Asked] = field(default_factory=list)
    ends: list[tuple[str, str, bool | None]] = field(default_factory=list)
    closed: set[str] = field(default_factory=set)

    async def admit(self, asked: Asked) -> Passage | None:
        self.asked.append(asked)
        if asked.command.name in self.closed:
            raise CommandError("IllegalOperation", "the gate is closed")
        return Told(self, asked.command.name) if asked.command.name == "update" else None

    def names(self) -> list[str]:
        return [each.command.name for each in self.asked]


@dataclass
class Guarded:
    """A guard on a port, its gate, and ways to its door."""

    address: str
    gate: OpenGate
    logins: Logins
    proxy: Proxy
    database: str

    def uri(self, login: str = "ada", password: str = PASSWORD, more: str = "") -> str:
        who = f"{login}:{password}@" if login else ""
        return f"mongodb://{who}{self.address}/?serverSelectionTimeoutMS=30000{more}"

    @asynccontextmanager
    async def client(self, login: str = "ada", **options: Any) -> AsyncIterator[Client]:
        async with Client(self.uri(login), **options) as client:
            yield client


@pytest.fixture
async def guarded(mongodb_uri: str, tmp_path: Path, store: Any) -> AsyncIterator[Guarded]:
    async with guarding(mongodb_uri, tmp_path, store.database.name) as found:
        yield found


@asynccontextmanager
async def guarding(
    uri: str,
    folder: Path,
    database: str,
    *,
    tls: ssl.SSLContext | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Guarded]:
    """A guard before the database at `uri`, with the logins ada and bob."""
    logins = Logins(folder / "logins.json")
    for name in ("ada", "bob"):
        logins.add(name, PASSWORD)
    gate = OpenGate()
    sock = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{sock.getsockname()[1]}"
    proxy = Proxy(Upstream(uri), logins, gate, clock or WallClock(), address=address, tls=tls)
    async with AsyncExitStack() as stack:
        await proxy.start(sock)
        stack.push_async_callback(proxy.stop)
        yield Guarded(address, gate, logins, proxy, database)
