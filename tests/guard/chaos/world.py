"""A guard whose world can end at any touch: its disks, the database, the bucket, its client.

All parts are the real ones: connection, gate, book, runner, audit trail, saver and
upstream, before the embedded MongoDB. Only what they touch the world with is put
in between, so that a touch can be the last one, fail, or see somebody leave.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from pymongo import AsyncMongoClient
from tests.conftest import ManualClock
from tests.recovery.crashes import Crash, CrashingDisk

from blackstart.durable import replace_file
from blackstart.errors import BlackstartError, DatabaseError, StorageError
from blackstart.guard.audit import AUDIT, AuditTrail
from blackstart.guard.decisions import Decisions
from blackstart.guard.gate import GuardGate
from blackstart.guard.logins import Login, Logins, Role, Secret
from blackstart.guard.preview import Previewer
from blackstart.guard.proxy.asked import Client
from blackstart.guard.proxy.connection import Connection, House
from blackstart.guard.proxy.greeting import Greeting
from blackstart.guard.proxy.owners import Cursors
from blackstart.guard.proxy.upstream import Upstream, UpstreamConnection
from blackstart.guard.redact import Redaction
from blackstart.guard.requests import Book, Request, RequestFolder, Runner, State
from blackstart.guard.rules import Judge, Table
from blackstart.guard.saver import Saver
from blackstart.guard.sessions import Sessions
from blackstart.recovery.snapshots import Snapshots
from blackstart.seed import Seed
from blackstart.store import ObjectStore
from blackstart.store.ledger import FileLedger
from blackstart.store.ledger.writer import SegmentWriter
from blackstart.wire import FrameStream, Peer, encode_command, parse_message

TABLE = Table.load()
NEVER = 1_000_000
WRITER = "guard-1-00000000"
SECRET = Secret(b"", 1, b"", b"")
ADA = Login("ada", "ada", frozenset(), SECRET)
BOB = Login("bob", "bob", frozenset({Role.REVIEWER}), SECRET)
DOCUMENTS = 5


@dataclass
class Fate:
    """Counts touches, and at one of them lets `deed` happen.

    A deed gets the name of the place. It raises for a failure, or raises `Crash`, and then
    whatever of the process still runs touches nothing any more.
    """

    random: Random
    touches_left: int = NEVER
    deed: Callable[[str], None] = lambda place: None
    crashed: bool = False
    places: list[str] = field(default_factory=list)

    def touch(self, place: str = "disk") -> None:
        if self.crashed:
            raise Crash
        self.places.append(place)
        self.touches_left -= 1
        if self.touches_left == -1:
            try:
                self.deed(place)
            except Crash:
                self.crashed = True
                raise

    async def around(self, place: str, effect: Callable[[], Any]) -> Any:
        self.touch(place)
        result = await effect()
        self.touch(place)
        return result


class TouchyObjects(ObjectStore):
    """A bucket each write to which is a touch."""

    fate: Fate

    async def put(self, key: str, data: bytes) -> None:
        await self.fate.around("bucket", lambda: super(TouchyObjects, self).put(key, data))


class TouchyConnection(UpstreamConnection):
    """The database: what is sent has its effect at once, and the answer waits to be taken.

    It has its effect also when nobody waits for it any more. Then the world does, in
    `World.process`: a write that still runs can't be told from one that never came.
    """

    def __init__(self, real: UpstreamConnection, world: World) -> None:
        self.elections = real.elections
        self._real = real
        self._world = world
        self._answers: list[bytes] = []

    async def send(self, frame: bytes) -> None:
        async def effect() -> None:
            self._world.look_before_effect()
            working = asyncio.ensure_future(self._work(frame))
            self._world.working.add(working)
            await asyncio.shield(working)

        await self._world.fate.around("database", effect)

    async def receive(self) -> bytes:
        async def effect() -> bytes:
            return self._answers.pop(0)

        found: bytes = await self._world.fate.around("database", effect)
        return found

    def close(self) -> None:
        """The world closes the real one, when it has its answer."""

    async def closed(self) -> None:
        self.close()

    async def _work(self, frame: bytes) -> None:
        await self._real.send(frame)
        self._answers.append(await self._real.receive())


class TouchyUpstream(Upstream):
    def __init__(self, uri: str, world: World) -> None:
        super().__init__(uri)
        self._world = world

    async def connect(self) -> UpstreamConnection:
        connect = super().connect

        async def effect() -> UpstreamConnection:
            real = await connect()
            self._world.opened.append(real)
            return TouchyConnection(real, self._world)

        made: UpstreamConnection = await self._world.fate.around("database", effect)
        return made


class Known(Logins):
    """Both of them, whatever the disk says."""

    def refresh(self) -> None:
        self._by_name = {"ada": ADA, "bob": BOB}


class LoggedIn(Connection):
    """A connection of somebody who is in already."""

    async def serve(self) -> None:
        self._client = Client(self._peer, ADA, "", self._is_gone)
        await super().serve()


class Channel:
    async def tell(self, text: str, *, request: int | None = None) -> None:
        """Nobody listens."""


def at_each_place(place: str) -> None:
    """The failure that a place has of its own."""
    if place == "disk":
        raise OSError(28, "No space left on device")
    raise DatabaseError("the database is gone") if place == "database" else StorageError("no")


@dataclass
class World:
    """What outlives a guard's process, and the processes one after the other."""

    folder: Path
    uri: str
    own: AsyncMongoClient[dict[str, Any]]
    database: str
    write: Mapping[str, Any]
    clock: ManualClock = field(default_factory=ManualClock)
    disk: CrashingDisk = field(default_factory=CrashingDisk)
    fate: Fate = field(default_factory=lambda: Fate(Random(0)))
    wrong: list[str] = field(default_factory=list)
    opened: list[UpstreamConnection] = field(default_factory=list)
    working: set[asyncio.Future[None]] = field(default_factory=set)
    objects: TouchyObjects = field(
        default_factory=lambda: TouchyObjects(ObjectStore.open("memory://").backend)
    )

    async def begin(self) -> None:
        """Documents that can be counted up."""
        collection = self.own[self.database]["things"]
        await collection.delete_many({})
        await collection.insert_many({"_id": number, "n": 0} for number in range(DOCUMENTS))

    async def effects(self) -> set[int]:
        """How often the write ran, by what each document says of it."""
        return {each["n"] async for each in self.own[self.database]["things"].find()}

    def book(self, *, touchy: bool = True) -> Book:
        def replace(path: Path, data: bytes) -> None:
            self.fate.touch()
            replace_file(path, data)
            self.fate.touch()

        options: dict[str, Any] = {"replace": replace} if touchy else {}
        return Book(RequestFolder(self.folder / "requests", **options), self.clock)

    def requests(self) -> list[Request]:
        return self.book(touchy=False).all()

    def look_before_effect(self) -> None:
        """What must stand on the disk before the database hears of a held write."""
        running = [each for each in self.requests() if each.state is State.EXECUTING]
        if len(running) != 1 or running[0].sent_at is None:
            self.wrong.append("a write is sent that is not noted as sent")
            return
        (request,) = running
        lines = [json.loads(line) for line in self.durable_lines()]
        sent = [each for each in lines if each["action"] == "write.sent"]
        known = [each for each in sent if each["request"] == request.number]
        if len(known) != 1:
            self.wrong.append(f"{len(known)} lines say that request {request.number} is sent")
        elif not request.snapshot or known[0]["snapshot"] != request.snapshot:
            self.wrong.append("no snapshot is named before the write")

    def durable_lines(self) -> list[bytes]:
        """The lines of the audit trail that a power failure would leave."""
        files = [self.disk.files[name].durable for name in sorted(self.disk.known)]
        whole = [data[: data.rfind(b"\n") + 1] for data in files]
        found = [line for data in whole for line in data.splitlines()]
        return [line for line in found if b'"action"' in line]

    @asynccontextmanager
    async def process(self, fate: Fate) -> AsyncIterator[Process]:
        """One guard, from its start to its end or its crash."""
        self.fate = self.objects.fate = fate
        self.disk.fate = fate  # type: ignore[assignment]
        ledger: FileLedger[Any] = FileLedger(
            SegmentWriter(self.disk, AUDIT, WRITER, self.clock.now),
            ObjectStore.open("memory://"),
            clock=self.clock,
            events=lambda *_, **__: None,
        )
        trail = AuditTrail(ledger, self.clock)
        book, channel = self.book(), Channel()
        snapshots, seed = Snapshots(self.objects), Seed(1)

        async def take(database: str) -> str:
            return (await snapshots.take(self.own[database], self.clock, seed)).id

        runner = Runner(book, trail, Saver(take))
        decisions = Decisions(book, trail, channel, self.clock)
        sessions, cursors = Sessions(self.clock, TABLE), Cursors()
        previews = Previewer(self.own, self.clock, Redaction())
        gate = GuardGate(
            *(Judge(TABLE), sessions, cursors, previews, decisions, runner, trail, channel),
            redact=Redaction(),
            wait_s=0.0,
        )
        upstream = TouchyUpstream(self.uri, self)
        greeting = Greeting(upstream, self.clock, "")
        house = House(upstream, greeting, Known(self.folder), gate, cursors)
        try:
            with suppress(Crash):
                await ledger.start()
                await runner.recover()
                yield Process(self, house, decisions)
        finally:
            if ledger._writing is not None:
                await asyncio.wait([ledger._writing])
                ledger._writing.exception()
            await asyncio.gather(*self.working)
            self.working.clear()
            for each in self.opened:
                each.close()
            self.opened.clear()


@dataclass
class Process:
    """One life of the guard, with its client and its reviewer at the door."""

    world: World
    house: House
    decisions: Decisions
    serving: asyncio.Task[None] | None = None
    client: FrameStream | None = None

    async def ask(self) -> dict[str, Any] | None:
        """Send the write on a new connection; None when no answer comes.

        Raises: Crash when the guard's process ended by it.
        """
        inside, outside = socket.socketpair()
        create = asyncio.get_running_loop().create_connection
        _, stream = await create(FrameStream, sock=inside)
        _, self.client = await create(FrameStream, sock=outside)
        connection = LoggedIn(self.house, Peer(1, "127.0.0.1:1"), stream)
        self.serving = asyncio.ensure_future(connection.serve())
        try:
            self.client.write(encode_command(self.world.write, request_id=7))
            with suppress(ConnectionError):
                coming = asyncio.ensure_future(self.client.receive())
                await asyncio.wait([coming, self.serving], return_when="FIRST_COMPLETED")
                if not self.serving.done():
                    self.client.abort()
                    await asyncio.wait([self.serving])
                stream.abort()
                frame = await coming
                return None if frame is None else parse_message(frame).body.decode()
            return None
        finally:
            stream.abort()
            self.client.abort()
            with suppress(ConnectionError, asyncio.CancelledError, BlackstartError):
                await self.serving

    async def approve(self) -> None:
        """The reviewer reads, and agrees."""
        for request in self.world.requests():
            if request.state is State.HELD:
                number, digest = request.number, request.digest
                await self.decisions.approve(number, BOB, "agreed", digest)

    async def story(self) -> None:
        """Held, approved, asked again and run: as far as it comes."""
        await self.ask()
        with suppress(BlackstartError):
            await self.approve()
        await self.ask()
