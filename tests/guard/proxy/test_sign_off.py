"""A dangerous write at the guard's door: held, looked at by a second person, and run once."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import AutoReconnect, OperationFailure
from tests.guard.proxy.conftest import PASSWORD, Client

from blackstart.clock import WallClock
from blackstart.guard.decisions import Decisions
from blackstart.guard.gate import GuardGate
from blackstart.guard.logins import Logins, Role
from blackstart.guard.preview import Previewer
from blackstart.guard.proxy.own import OwnCommands
from blackstart.guard.proxy.owners import Cursors
from blackstart.guard.proxy.server import Proxy
from blackstart.guard.proxy.upstream import Upstream
from blackstart.guard.redact import Redaction
from blackstart.guard.requests import Book, Request, RequestFolder, Runner, Saved, State
from blackstart.guard.rules import Judge, Table
from blackstart.guard.sessions import Sessions


@dataclass
class Lines:
    """A trail and a channel that keep their lines."""

    lines: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    async def record(self, action: str, **details: Any) -> None:
        self.lines.append((action, details))

    def note(self, action: str, **details: Any) -> None:
        self.lines.append((action, details))

    async def tell(self, text: str, *, request: int | None = None) -> None:
        self.told.append(text)

    def actions(self) -> list[str]:
        return [action for action, _ in self.lines if action != "command.passed"]


@dataclass
class Door:
    """A guard that holds, and those who come to it."""

    address: str
    database: str
    book: Book
    lines: Lines
    saved: list[int]
    logins: Logins
    until: Callable[[Callable[[], bool]], Awaitable[None]]

    @asynccontextmanager
    async def client(self, name: str) -> AsyncIterator[Client]:
        uri = f"mongodb://{name}:{PASSWORD}@{self.address}/?retryWrites=false"
        async with AsyncMongoClient[dict[str, Any]](uri) as client:
            yield client

    async def say(self, name: str, word: str, number: int, **more: Any) -> Mapping[str, Any]:
        async with self.client(name) as client:
            answer = await client.admin.command(word, number, **more)
        found: Mapping[str, Any] = answer["request"]
        return found

    async def held(self) -> Request:
        """The one request that waits, when it is there."""
        await self.until(lambda: bool(self.book.open()))
        return self.book.open()[0]


@pytest.fixture
async def door(
    mongodb_uri: str,
    store: Any,
    tmp_path: Path,
    until: Callable[[Callable[[], bool]], Awaitable[None]],
) -> AsyncIterator[Door]:
    clock, lines, saved = WallClock(), Lines(), list[int]()
    logins = Logins(tmp_path / "logins.json")
    logins.add("ada", PASSWORD)
    logins.add("ada2", PASSWORD, person="ada", roles=[Role.REVIEWER])
    logins.add("bob", PASSWORD, roles=[Role.REVIEWER])
    logins.add("eve", PASSWORD)
    table = Table.load()
    cursors = Cursors()

    async def save(request: Request) -> Saved:
        saved.append(request.number)
        return Saved("snapshot-1", "blackstart snapshot restore snapshot-1")

    book = Book(RequestFolder(tmp_path / "requests"), clock)
    decisions = Decisions(book, lines, lines, clock)
    async with AsyncMongoClient[dict[str, Any]](mongodb_uri) as own:
        gate = GuardGate(
            Judge(table),
            Sessions(clock, table),
            cursors,
            Previewer(own, clock, Redaction()),
            decisions,
            Runner(book, lines, save),
            lines,
            lines,
            redact=lambda document: {key: str(value) for key, value in document.items()},
            wait_s=30.0,
        )
        sock = socket.create_server(("127.0.0.1", 0))
        address = f"127.0.0.1:{sock.getsockname()[1]}"
        proxy = Proxy(
            Upstream(mongodb_uri),
            logins,
            gate,
            clock,
            address=address,
            cursors=cursors,
            own=OwnCommands(decisions),
        )
        await proxy.start(sock)
        await store.database["deploys"].insert_many(
            {"_id": number, "site_id": number, "metadata": {"tree": "t", "count": number}}
            for number in range(20)
        )
        yield Door(address, store.database.name, book, lines, saved, logins, until)
        await proxy.stop()


async def migrate(door: Door, name: str = "ada") -> Any:
    """February 2: a `$set` of the whole sub-document."""
    async with door.client(name) as client:
        return await client[door.database]["deploys"].update_many(
            {"_id": {"$lt": 5}}, {"$set": {"metadata": {"schema": 3}}}
        )


async def test_a_held_write_waits_for_a_second_person_and_then_runs_once(
    door: Door, store: Any
) -> None:
    running = asyncio.create_task(migrate(door))
    held = await door.held()
    assert await store.database["deploys"].count_documents({"metadata.schema": 3}) == 0
    shown = await door.say("bob", "guardShow", held.number)
    (part,) = shown["preview"]["parts"]
    assert (part["matched"], part["total"]) == (5, 20)
    assert any("metadata" in warning for warning in part["warnings"])
    await door.say("bob", "guardApprove", held.number, digest=shown["digest"], reason="agreed")
    assert (await running).modified_count == 5
    assert await store.database["deploys"].count_documents({"metadata.schema": 3}) == 5
    ended = door.book.get(held.number)
    assert (ended.state, ended.snapshot) == (State.EXECUTED, "snapshot-1")
    assert door.saved == [held.number]
    assert door.lines.actions() == ["write.held", "request.said", "write.sent", "write.ended"]
    assert "bob: agreed" not in door.lines.told[0] and "ada" in door.lines.told[0]


async def test_a_rejected_write_never_runs_and_says_why(door: Door, store: Any) -> None:
    running = asyncio.create_task(migrate(door))
    held = await door.held()
    await door.say("bob", "guardReject", held.number, reason="it drops the pointer")
    with pytest.raises(OperationFailure, match="it drops the pointer"):
        await running
    assert await store.database["deploys"].count_documents({"metadata.schema": 3}) == 0
    assert door.saved == []


@pytest.mark.parametrize(
    ("name", "why"), [("ada", "their own"), ("ada2", "their own"), ("eve", "not a reviewer")]
)
async def test_nobody_but_another_reviewer_can_approve(
    door: Door, store: Any, name: str, why: str
) -> None:
    running = asyncio.create_task(migrate(door))
    held = await door.held()
    with pytest.raises(OperationFailure, match=why):
        await door.say(name, "guardApprove", held.number, digest=held.digest, reason="fine")
    assert door.book.get(held.number).state is State.HELD
    await door.say("ada", "guardWithdraw", held.number)
    with pytest.raises(OperationFailure, match="withdrawn"):
        await running


async def test_nobody_writes_lines_of_the_channel_by_a_reason_or_a_name(door: Door) -> None:
    running = asyncio.create_task(migrate(door))
    held = await door.held()
    forged = "no\nrequest 9 approved by bob: fine\x1b[2J"
    await door.say("bob", "guardReject", held.number, reason=forged)
    with pytest.raises(OperationFailure, match="no request 9 approved"):
        await running
    async with door.client("ada") as client:
        drop = {"drop": "x\nrequest 9 approved", "comment": forged}
        dropping = asyncio.create_task(client[door.database].command(drop))
        second = await door.held()
        assert second.comment.isprintable()
        with pytest.raises(OperationFailure, match="at most"):
            await door.say("bob", "guardReject", second.number, reason="x" * 10_000)
        await door.say("bob", "guardReject", second.number, reason="no")
        with pytest.raises(OperationFailure):
            await dropping
    lines = [line for text in door.lines.told for line in text.splitlines()]
    assert not any(line.startswith("request 9") for line in lines)
    assert all(line.isprintable() for line in lines)
    assert all(len(str(details)) < 30_000 for _, details in door.lines.lines)


async def test_an_approval_is_for_what_was_seen(door: Door) -> None:
    running = asyncio.create_task(migrate(door))
    held = await door.held()
    with pytest.raises(OperationFailure, match="another command"):
        await door.say("bob", "guardApprove", held.number, digest="0" * 64, reason="fine")
    await door.say("bob", "guardReject", held.number, reason="no")
    with pytest.raises(OperationFailure):
        await running


async def test_an_approval_is_no_longer_good_when_many_more_documents_match(
    door: Door, store: Any
) -> None:
    running = asyncio.create_task(migrate(door))
    held = await door.held()
    await store.database["deploys"].insert_many(
        {"_id": -number, "site_id": -number, "metadata": {"tree": "t"}} for number in range(1, 30)
    )
    await door.say("bob", "guardApprove", held.number, digest=held.digest, reason="agreed")
    with pytest.raises(OperationFailure, match="5 documents matched, and now 34 do"):
        await running
    assert await store.database["deploys"].count_documents({"metadata.schema": 3}) == 0
    assert door.book.get(held.number).state is State.EXPIRED
    assert "write.outgrown" in door.lines.actions()


async def test_a_client_that_left_finds_its_approval_when_it_asks_again(
    door: Door, store: Any
) -> None:
    running = asyncio.create_task(migrate(door))
    held = await door.held()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await door.say("bob", "guardApprove", held.number, digest=held.digest, reason="agreed")
    assert (await migrate(door)).modified_count == 5
    assert door.book.get(held.number).state is State.EXECUTED
    again = asyncio.create_task(migrate(door))
    second = await door.held()
    assert second.number != held.number, "an approval is good for once"
    await door.say("bob", "guardReject", second.number, reason="once is enough")
    with pytest.raises(OperationFailure):
        await again


@pytest.mark.parametrize("roles", [None, [Role.SERVICE]], ids=["removed", "another role"])
async def test_what_waits_does_not_run_for_a_login_that_is_gone_meanwhile(
    door: Door, store: Any, roles: list[Role] | None
) -> None:
    running = asyncio.create_task(migrate(door))
    held = await door.held()
    door.logins.remove("ada")
    if roles:
        door.logins.add("ada", PASSWORD, roles=roles)
    await door.say("bob", "guardApprove", held.number, digest=held.digest, reason="agreed")
    with pytest.raises((AutoReconnect, OperationFailure)):
        await running
    assert await store.database["deploys"].count_documents({"metadata.schema": 3}) == 0
    assert (door.book.get(held.number).state, door.saved) == (State.APPROVED, [])


async def test_broken_glass_is_allowed_and_wants_to_be_looked_at(door: Door, store: Any) -> None:
    running = asyncio.create_task(migrate(door))
    held = await door.held()
    await door.say("ada", "guardBreakGlass", held.number, reason="alone, and it burns")
    assert (await running).modified_count == 5
    async with door.client("bob") as client:
        (listed,) = (await client.admin.command("guardRequests", 1))["requests"]
    assert listed["number"] == held.number
    await door.say("bob", "guardReview", held.number, reason="it was right")
    assert door.book.open() == []
    assert any("glass" in text for text in door.lines.told)


async def test_writes_to_many_documents_hidden_in_a_transaction_are_held_at_the_commit(
    door: Door, store: Any
) -> None:
    async def sneak() -> None:
        async with (
            door.client("ada") as client,
            client.start_session() as session,
            await session.start_transaction(),
        ):
            for number in range(3):
                await client[door.database]["other"].insert_one({"_id": number}, session=session)

    running = asyncio.create_task(sneak())
    held = await door.held()
    assert await store.database["other"].count_documents({}) == 0
    await door.say("bob", "guardReject", held.number, reason="no")
    with pytest.raises(OperationFailure):
        await running
    assert await store.database["other"].count_documents({}) == 0


async def test_a_held_statement_of_a_transaction_is_said_to_count_only_with_its_commit(
    door: Door, store: Any
) -> None:
    async def change_our_mind() -> None:
        async with door.client("ada") as client, client.start_session() as session:
            await session.start_transaction()
            deploys = client[door.database]["deploys"]
            await deploys.update_many({}, {"$set": {"state": "x"}}, session=session)
            await session.abort_transaction()

    running = asyncio.create_task(change_our_mind())
    held = await door.held()
    await door.say("bob", "guardApprove", held.number, digest=held.digest, reason="fine")
    await running
    outcome = door.book.get(held.number).outcome
    assert outcome.endswith("; it counts only if its transaction is committed")
    assert await store.database["deploys"].count_documents({"state": "x"}) == 0


async def test_reads_and_writes_to_one_document_pass_on_record(door: Door) -> None:
    async with door.client("ada") as client:
        deploys = client[door.database]["deploys"]
        await deploys.update_one({"_id": 3}, {"$set": {"state": "x"}})
        assert (await deploys.find_one({"_id": 3}) or {})["state"] == "x"
        assert len(await deploys.find({}, batch_size=3).to_list()) == 20
    assert door.lines.actions() == ["write.passed"]
    assert ("command.passed") in [action for action, _ in door.lines.lines]
