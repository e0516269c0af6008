"""A guard before a stub that keeps every byte it is sent, and a client of raw frames."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bson import Binary
from scramp import ScramClient
from tests.conftest import PATIENCE_S
from tests.frames import read_frame
from tests.guard.proxy.conftest import PASSWORD
from tests.guard.proxy.test_sign_off import Lines

from blackstart.clock import WallClock
from blackstart.errors import WireError
from blackstart.guard.decisions import Decisions
from blackstart.guard.gate import GuardGate
from blackstart.guard.logins import Logins, Role
from blackstart.guard.preview import Preview
from blackstart.guard.proxy.own import OwnCommands
from blackstart.guard.proxy.owners import Cursors
from blackstart.guard.proxy.server import Proxy
from blackstart.guard.proxy.upstream import Upstream
from blackstart.guard.redact import Redaction
from blackstart.guard.requests import Book, Request, RequestFolder, Runner, Saved
from blackstart.guard.rules import Command, Decision, Judge, Table, Verdict
from blackstart.guard.sessions import Sessions
from blackstart.wire import (
    HEADER_BYTES,
    Message,
    encode_answer,
    encode_command,
    parse,
    parse_message,
)

TABLE = Table.load()
JUDGE = Judge(TABLE)
HELLO = {"isWritablePrimary": True, "maxWireVersion": 21, "minWireVersion": 0, "ok": 1.0}


@dataclass
class Stub:
    """Takes any bytes for frames, keeps them, and says yes to all."""

    received: bytearray = field(default_factory=bytearray)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    answers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        kept = bytearray()
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                self.received += data
                kept += data
                while len(kept) >= HEADER_BYTES:
                    length = int.from_bytes(kept[:4], "little")
                    if len(kept) < max(length, HEADER_BYTES):
                        break
                    frame = bytes(kept[:length])
                    del kept[:length]
                    self._answer(frame, writer)
        writer.close()

    def _answer(self, frame: bytes, writer: asyncio.StreamWriter) -> None:
        message = parse_message(frame)
        if not message.more_to_come:
            said = self.say(message.command)
            writer.write(encode_answer(message, said, request_id=next(self.answers)))

    def say(self, command: str) -> dict[str, Any]:
        return HELLO if command == "hello" else {"ok": 1.0, "n": 1}

    def messages(self) -> list[Message]:
        """All it was sent, in frames. Raises: WireError for what is none."""
        data, found, at = bytes(self.received), list[Message](), 0
        while at < len(data):
            length = int.from_bytes(data[at : at + 4], "little")
            found.append(parse_message(data[at : at + length]))
            at += length
        return found

    def asked(self) -> list[str]:
        """The names of the clients' commands."""
        return [each.command for each in self.messages() if each.command != "hello"]

    def check(self) -> None:
        """Nothing came that cannot be read, or that would not pass by itself."""
        for message in self.messages():
            verdict = JUDGE.judge(Command.of_message(message))
            assert verdict.decision is Decision.PASS, f"{message.command}: {verdict.reason}"


class NothingForeseen:
    async def of(self, verdict: Verdict) -> Preview:
        return Preview(())


@dataclass
class Recorded:
    """The guard, the stub behind it, and what the guard wrote down."""

    port: int
    stub: Stub
    lines: Lines
    book: Book

    @asynccontextmanager
    async def raw(self, name: str = "ada") -> AsyncIterator[Raw]:
        """A connection of a login; without a name, of a stranger."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        made = Raw(reader, writer)
        try:
            if name:
                await made.log_in(name)
            yield made
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


@dataclass
class Raw:
    """Bytes to the guard, and frames from it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, command: dict[str, Any]) -> dict[str, Any]:
        await self.send(encode_command(command, request_id=1))
        answer = await self.receive()
        assert answer is not None, "no answer"
        return answer

    async def send(self, *segments: bytes) -> None:
        """Each as a segment of its own, as far as a loopback keeps them apart."""
        for segment in segments:
            self.writer.write(segment)
            with suppress(ConnectionError):
                await self.writer.drain()
            await asyncio.sleep(0)

    async def receive(self) -> dict[str, Any] | None:
        """The next answer; None when the guard has closed."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                frame = await read_frame(self.reader)
        except (ConnectionError, WireError):
            return None
        if frame is None:
            return None
        answer = parse(frame)
        document = answer.body if isinstance(answer, Message) else answer.documents[0]
        return document.decode()

    async def rest(self) -> list[dict[str, Any]]:
        """All answers until the guard closes, once nothing more will come from here."""
        with suppress(OSError):
            self.writer.write_eof()
        found = []
        while (answer := await self.receive()) is not None:
            found.append(answer)
        return found

    async def log_in(self, name: str) -> None:
        client = ScramClient(["SCRAM-SHA-256"], name, PASSWORD)
        first = Binary(client.get_client_first().encode())
        start = {"saslStart": 1, "mechanism": "SCRAM-SHA-256", "payload": first, "$db": "admin"}
        answer = await self.ask({**start, "options": {"skipEmptyExchange": True}})
        client.set_server_first(bytes(answer["payload"]).decode())
        final = Binary(client.get_client_final().encode())
        proof = {"saslContinue": 1, "conversationId": 1, "payload": final, "$db": "admin"}
        assert (await self.ask(proof))["done"]


@asynccontextmanager
async def recording(folder: Path, *, max_connections: int = 100) -> AsyncIterator[Recorded]:
    """ada asks, bob reviews, and whoever is held is told at once."""
    stub, lines, clock = Stub(), Lines(), WallClock()
    server = await asyncio.start_server(stub.serve, "127.0.0.1", 0)
    behind = server.sockets[0].getsockname()[1]
    logins, cursors = Logins(folder / "logins.json"), Cursors()
    logins.add("ada", PASSWORD)
    logins.add("bob", PASSWORD, roles=[Role.REVIEWER])
    book = Book(RequestFolder(folder / "requests"), clock)
    decisions = Decisions(book, lines, lines, clock)

    async def save(request: Request) -> Saved:
        return Saved("a snapshot", "a command")

    gate = GuardGate(
        *(JUDGE, Sessions(clock, TABLE), cursors, NothingForeseen(), decisions),
        *(Runner(book, lines, save), lines, lines),
        redact=Redaction(),
        wait_s=0.0,
    )
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    upstream = Upstream(f"mongodb://127.0.0.1:{behind}/?directConnection=true")
    own = OwnCommands(decisions)
    address = f"127.0.0.1:{port}"
    proxy = Proxy(
        *(upstream, logins, gate, clock),
        address=address,
        cursors=cursors,
        own=own,
        max_connections=max_connections,
    )
    await proxy.start(sock)
    try:
        yield Recorded(port, stub, lines, book)
    finally:
        await proxy.stop()
        for writer in stub.writers:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
        server.close()
        await server.wait_closed()
