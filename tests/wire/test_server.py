"""The server skeleton: connections, what their handlers answer, limits, and the end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure
from tests.conftest import PATIENCE_S
from tests.frames import read_frame

from blackstart.errors import StorageError
from blackstart.wire import (
    Answer,
    CommandError,
    Compressor,
    Flag,
    Message,
    Peer,
    Reply,
    WireLimits,
    WireServer,
    agreed_compressors,
    encode_command,
    parse,
)

HELLO = {
    "isWritablePrimary": True,
    "ismaster": True,
    "helloOk": True,
    "minWireVersion": 0,
    "maxWireVersion": 21,
    "maxBsonObjectSize": 16 * 1024 * 1024,
    "maxMessageSizeBytes": 48_000_000,
    "ok": 1.0,
}


class Desk:
    """Answers a handshake, echoes, and fails in the ways that there are."""

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self.asked: list[Message] = []
        self.gate = asyncio.Event()
        self.left = asyncio.Event()

    def handler_for(self, peer: Peer) -> Any:
        self.peers.append(peer)
        return self.answer

    async def answer(self, message: Message) -> Sequence[Answer]:
        self.asked.append(message)
        command = message.command
        if command in {"hello", "isMaster", "ismaster"}:
            offered = message.body.decode().get("compression")
            return [HELLO | {"compression": agreed_compressors(offered)}]
        if command == "stream":
            return [{"ok": 1.0, "n": number} for number in range(3)]
        if command == "wait":
            try:
                await self.gate.wait()
            finally:
                self.left.set()
        if command == "refuse":
            raise CommandError("IllegalOperation", "not here")
        if command == "storage":
            raise StorageError("the bucket is gone", hint="look for it")
        if command == "fail":
            raise KeyError("x")
        return [{"ok": 1.0, "echo": message.body.decode().get("text", "")}]


@asynccontextmanager
async def serving(desk: Desk, **options: Any) -> AsyncIterator[tuple[WireServer, int]]:
    sock = socket.create_server(("127.0.0.1", 0))
    server = WireServer(desk.handler_for, **options)
    await server.start(sock)
    try:
        yield server, sock.getsockname()[1]
    finally:
        await server.stop()


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield reader, writer
    finally:
        writer.transport.abort()


async def has_asked(desk: Desk) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not desk.asked:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0)


async def next_message(reader: asyncio.StreamReader) -> Message:
    frame = await read_frame(reader)
    assert frame is not None
    message = parse(frame)
    assert not isinstance(message, Reply)
    return message


@pytest.mark.parametrize("compressor", [None, Compressor.ZLIB])
async def test_a_driver_talks_to_it(compressor: Compressor | None) -> None:
    desk = Desk()
    async with serving(desk) as (_, port):
        uri = f"mongodb://127.0.0.1:{port}/?serverMonitoringMode=poll"
        uri += f"&compressors={compressor.name.lower()}" if compressor else ""
        async with AsyncMongoClient[dict[str, Any]](uri) as client:
            echo = await client["x"].command("echo", text="a" * 100_000)
            assert echo["echo"] == "a" * 100_000
            with pytest.raises(OperationFailure, match="not here") as refused:
                await client["x"].command("refuse")
            assert (refused.value.code, refused.value.details) == (
                20,
                {"ok": 0.0, "errmsg": "not here", "code": 20, "codeName": "IllegalOperation"},
            )
            with pytest.raises(OperationFailure, match="look for it"):
                await client["x"].command("storage")
            with pytest.raises(OperationFailure, match="KeyError") as failed:
                await client["x"].command("fail")
            assert failed.value.code == 1
    assert {each.compressor for each in desk.asked if each.command == "echo"} == {compressor}


async def test_messages_of_one_segment_are_answered_in_their_order() -> None:
    async with serving(Desk()) as (_, port), connected(port) as (reader, writer):
        commands = [
            encode_command({"echo": 1, "text": str(number)}, request_id=number)
            for number in range(5)
        ]
        writer.write(b"".join(commands))
        answers = [await next_message(reader) for _ in commands]
        assert [each.body.decode()["echo"] for each in answers] == ["0", "1", "2", "3", "4"]
        assert [each.header.response_to for each in answers] == [0, 1, 2, 3, 4]


async def test_one_message_may_be_answered_by_several_when_it_says_so() -> None:
    async with serving(Desk()) as (_, port), connected(port) as (reader, writer):
        writer.write(encode_command({"stream": 1}, request_id=1, flags=Flag.EXHAUST_ALLOWED))
        answers = [await next_message(reader) for _ in range(3)]
        assert [each.more_to_come for each in answers] == [True, True, False]


async def test_a_message_that_wants_no_answer_gets_none_not_even_a_refusal() -> None:
    desk = Desk()
    async with serving(desk) as (_, port), connected(port) as (reader, writer):
        for command in ("echo", "refuse", "fail"):
            writer.write(encode_command({command: 1}, request_id=1, flags=Flag.MORE_TO_COME))
        writer.write(encode_command({"echo": 1}, request_id=2))
        assert (await next_message(reader)).header.response_to == 2
        assert len(desk.asked) == 4


@pytest.mark.parametrize(
    "junk",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\xff\xff\xff\xff" + bytes(12),
        encode_command({"echo": "x" * 2_000}, request_id=1),
        encode_command({}, request_id=1)[:-1] + b"\1",
    ],
)
async def test_a_connection_that_speaks_something_else_is_closed(junk: bytes) -> None:
    desk = Desk()
    limits = WireLimits(message_bytes=1_000)
    async with serving(desk, limits=limits) as (_, port), connected(port) as (reader, writer):
        writer.write(junk)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        assert desk.asked == []


async def test_a_connection_beyond_the_limit_is_closed_and_the_others_stay() -> None:
    serving_one = serving(Desk(), max_connections=1)
    async with serving_one as (server, port), connected(port) as (reader, writer):
        writer.write(encode_command({"echo": 1}, request_id=1))
        await next_message(reader)
        async with connected(port) as (second, _):
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await second.readexactly(1)
        writer.write(encode_command({"echo": 1}, request_id=2))
        assert (await next_message(reader)).header.response_to == 2
        assert server.connections == 1


async def test_every_connection_has_a_number_of_its_own() -> None:
    desk = Desk()
    async with serving(desk) as (_, port):
        for _ in range(2):
            async with connected(port) as (reader, writer):
                writer.write(encode_command({"echo": 1}, request_id=1))
                await next_message(reader)
    assert [each.number for each in desk.peers] == [1, 2]
    assert all(each.address.startswith("127.0.0.1:") for each in desk.peers)


async def test_work_for_a_client_that_has_gone_away_is_ended() -> None:
    desk = Desk()
    async with serving(desk) as (server, port):
        async with connected(port) as (_, writer):
            writer.write(encode_command({"wait": 1}, request_id=1))
            await has_asked(desk)
        async with asyncio.timeout(PATIENCE_S):
            await desk.left.wait()
            while server.connections:  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0)


async def test_a_client_that_asks_before_it_is_answered_has_not_gone_away() -> None:
    desk = Desk()
    async with serving(desk) as (_, port), connected(port) as (reader, writer):
        writer.write(encode_command({"wait": 1}, request_id=1))
        writer.write(encode_command({"echo": 1}, request_id=2))
        await has_asked(desk)
        desk.gate.set()
        assert (await next_message(reader)).header.response_to == 1
        assert (await next_message(reader)).header.response_to == 2


async def test_the_end_closes_connections_whose_command_is_under_way() -> None:
    desk = Desk()
    async with serving(desk) as (server, port), connected(port) as (reader, writer):
        writer.write(encode_command({"wait": 1}, request_id=1))
        await has_asked(desk)
        await server.stop()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        assert server.connections == 0
