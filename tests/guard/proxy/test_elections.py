"""A replica set that elects another primary, and routers of a cluster, behind the guard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from tests.conftest import ManualClock
from tests.guard.proxy.conftest import guarding
from tests.guard.proxy.recording import HELLO, Raw, Stub

from blackstart.errors import DatabaseError
from blackstart.guard.proxy import greeting
from blackstart.guard.proxy.greeting import Greeting
from blackstart.guard.proxy.upstream import Upstream

INSERT = {"insert": "x", "documents": [{"_id": 1}], "$db": "shop"}
HELLO_COMMAND = {"hello": 1, "$db": "admin"}


@dataclass
class Set:
    """Two members, one of which is primary; or two routers, which are all alike."""

    routers: bool = False
    hosts: list[str] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)
    primary: int = 0
    servers: list[asyncio.Server] = field(default_factory=list)
    term: int = 1

    async def leave(self, number: int) -> None:
        """Whoever is connected to it is cut off, and nobody comes in any more."""
        self.servers[number].close()
        for writer in self.members[number].writers:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
        await self.servers[number].wait_closed()

    def elect(self, number: int) -> None:
        self.primary, self.term = number, self.term + 1

    def wrote(self) -> list[int]:
        """How many inserts came to each."""
        return [member.inserts for member in self.members]


@dataclass
class Member(Stub):
    """Says of itself what its set knows, and takes writes as primary only."""

    number: int = 0
    set: Set = field(default_factory=Set)
    inserts: int = 0

    def say(self, command: str) -> dict[str, Any]:
        leads = self.set.primary == self.number
        if command.lower() in ("hello", "ismaster"):
            return self._hello(leads)
        if command != "insert":
            return {"ok": 1.0}
        if not leads and not self.set.routers:
            return {"ok": 0.0, "code": 10107, "codeName": "NotWritablePrimary", "errmsg": "no"}
        self.inserts += 1
        return {"ok": 1.0, "n": 1}

    def _hello(self, leads: bool) -> dict[str, Any]:
        if self.set.routers:
            return {**HELLO, "ismaster": True, "msg": "isdbgrid"}
        return {
            **HELLO,
            **{"isWritablePrimary": leads, "ismaster": leads, "secondary": not leads},
            **{"setName": "rs", "setVersion": 1, "hosts": self.set.hosts},
            **{"primary": self.set.hosts[self.set.primary], "me": self.set.hosts[self.number]},
            **({"electionId": ObjectId(f"{self.set.term:024x}")} if leads else {}),
        }


@asynccontextmanager
async def running(*, routers: bool = False) -> AsyncIterator[Set]:
    made = Set(routers)
    for number in range(2):
        member = Member(number=number, set=made)
        server = await asyncio.start_server(member.serve, "127.0.0.1", 0)
        made.members.append(member)
        made.hosts.append("{}:{}".format(*server.sockets[0].getsockname()[:2]))
        made.servers.append(server)
    try:
        yield made
    finally:
        for number in range(2):
            await made.leave(number)


@asynccontextmanager
async def client(address: str) -> AsyncIterator[Raw]:
    host, _, port = address.rpartition(":")
    raw = Raw(*await asyncio.open_connection(host, int(port)))
    try:
        await raw.log_in("ada")
        yield raw
    finally:
        raw.writer.close()
        with suppress(ConnectionError):
            await raw.writer.wait_closed()


@pytest.mark.parametrize("seeds", [1, 2])
async def test_after_an_election_all_connections_go_to_the_new_primary(
    tmp_path: Path, manual_clock: ManualClock, seeds: int
) -> None:
    async with running() as behind:
        uri = f"mongodb://{','.join(behind.hosts[:seeds])}/?replicaSet=rs"
        async with (
            guarding(uri, tmp_path, "shop", clock=manual_clock) as guard,
            client(guard.address) as ada,
        ):
            assert (await ada.ask(HELLO_COMMAND))["isWritablePrimary"]
            assert (await ada.ask(INSERT))["ok"] == 1.0
            behind.elect(1)
            assert (await ada.ask(INSERT))["code"] == 10107
            # What was known a moment ago is not fresh because the clock was set back.
            manual_clock.advance(-3_600.0)
            assert not (await ada.ask(HELLO_COMMAND))["isWritablePrimary"]
            manual_clock.advance(1.0)
            assert (await ada.ask(HELLO_COMMAND))["isWritablePrimary"]
            assert (await ada.ask(INSERT))["ok"] == 1.0
            assert behind.wrote() == [1, 1]


async def test_all_connections_go_to_one_router_of_a_cluster(tmp_path: Path) -> None:
    async with running(routers=True) as behind:
        uri = f"mongodb://{','.join(behind.hosts)}/"
        async with guarding(uri, tmp_path, "shop") as guard:
            for _ in range(3):
                async with client(guard.address) as ada:
                    assert (await ada.ask(INSERT))["ok"] == 1.0
            assert sorted(behind.wrote()) == [0, 3]
            used = behind.wrote().index(3)
            await behind.leave(used)
            with pytest.raises(AssertionError, match="no answer"):
                async with client(guard.address) as ada:
                    await ada.ask(INSERT)
            async with client(guard.address) as ada:
                assert (await ada.ask(INSERT))["ok"] == 1.0
        assert behind.wrote()[1 - used] == 1


async def test_a_database_that_says_nothing_is_given_up_and_asked_anew(
    manual_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(routers=True) as behind:
        made = Greeting(Upstream(f"mongodb://{behind.hosts[0]}"), manual_clock, "here:1")
        with monkeypatch.context() as patch:
            patch.setattr(greeting, "ANSWER_S", 0.0)
            with pytest.raises(DatabaseError, match="says nothing"):
                await made.hello(HELLO_COMMAND)
        assert (await made.hello(HELLO_COMMAND))["ok"] == 1.0
        await made.close()
