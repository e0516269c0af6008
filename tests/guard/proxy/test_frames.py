"""All forms a message may have, sent to the guard over a bare socket."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import bson
import pytest
from tests.guard.proxy.conftest import Guarded, guarding

from blackstart.errors import DatabaseError
from blackstart.guard.proxy.upstream import Upstream, UpstreamConnection
from blackstart.wire import (
    Compressor,
    Flag,
    FrameStream,
    Message,
    Reply,
    WireServer,
    encode_command,
    parse,
    parse_message,
)
from blackstart.wire.message import NO_FLAGS

PATIENCE_S = 30.0


@asynccontextmanager
async def bare(guarded: Guarded) -> AsyncIterator[UpstreamConnection]:
    """A connection that is logged in, and sends what it is given."""
    connection = await Upstream(guarded.uri()).connect()
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield connection
    finally:
        await connection.closed()


async def answer(connection: UpstreamConnection) -> Message:
    return parse_message(await connection.receive())


def find(guarded: Guarded, request_id: int = 7, **more: Any) -> bytes:
    command = {"find": "numbers", "filter": {"_id": 1}, "$db": guarded.database}
    return encode_command(command, request_id=request_id, **more)


@pytest.fixture
async def numbers(guarded: Guarded, store: Any) -> Any:
    await store.database["numbers"].insert_one({"_id": 1})
    return store.database["numbers"]


@pytest.mark.parametrize(
    ("compressor", "flags"),
    [(None, NO_FLAGS), (None, Flag.CHECKSUM_PRESENT), *((each, NO_FLAGS) for each in Compressor)],
)
async def test_a_question_of_every_form_is_answered(
    guarded: Guarded, numbers: Any, compressor: Compressor | None, flags: Flag
) -> None:
    async with bare(guarded) as connection:
        await connection.send(find(guarded, flags=flags, compressor=compressor))
        found = await answer(connection)
    assert found.header.response_to == 7
    assert found.body.decode()["cursor"]["firstBatch"] == [{"_id": 1}]
    assert guarded.gate.names() == ["find"]


async def test_a_wrong_checksum_ends_the_connection_and_reaches_nothing(
    guarded: Guarded, numbers: Any
) -> None:
    frame = bytearray(find(guarded, flags=Flag.CHECKSUM_PRESENT))
    frame[-1] ^= 1
    async with bare(guarded) as connection:
        await connection.send(bytes(frame))
        with pytest.raises(DatabaseError, match="closed"):
            await connection.receive()
    assert guarded.gate.asked == []


async def test_messages_in_one_segment_are_each_judged_and_answered_in_order(
    guarded: Guarded, numbers: Any
) -> None:
    guarded.gate.closed = {"drop"}
    drop = encode_command({"drop": "numbers", "$db": guarded.database}, request_id=8)
    async with bare(guarded) as connection:
        await connection.send(find(guarded) + drop + find(guarded, 9, compressor=Compressor.ZSTD))
        answers = [await answer(connection) for _ in range(3)]
    assert [each.header.response_to for each in answers] == [7, 8, 9]
    assert [each.body.decode()["ok"] for each in answers] == [1.0, 0.0, 1.0]
    assert guarded.gate.names() == ["find", "drop", "find"]
    assert await numbers.count_documents({}) == 1


async def test_a_write_that_wants_no_answer_gets_none(guarded: Guarded, numbers: Any) -> None:
    insert = {"insert": "numbers", "documents": [{"_id": 2}], "writeConcern": {"w": 0}}
    silent = encode_command(
        insert | {"$db": guarded.database}, request_id=8, flags=Flag.MORE_TO_COME
    )
    async with bare(guarded) as connection:
        await connection.send(silent + find(guarded, 9))
        assert (await answer(connection)).header.response_to == 9
    assert await numbers.count_documents({}) == 2


async def test_the_handshake_of_old_is_answered_in_its_own_form(guarded: Guarded) -> None:
    host, _, port = guarded.address.partition(":")
    body = struct.pack("<i", 4) + b"admin.$cmd\0" + struct.pack("<ii", 0, -1)
    body += bson.encode({"isMaster": 1})
    loop = asyncio.get_running_loop()
    _, stream = await loop.create_connection(FrameStream, host, int(port))
    try:
        await stream.send(struct.pack("<iiii", 16 + len(body), 5, 0, 2004) + body)
        frame = await stream.receive()
        assert frame is not None
        reply = parse(frame)
        assert isinstance(reply, Reply)
        assert reply.header.response_to == 5
        told = reply.documents[0].decode()
        assert (told["ismaster"], told["hosts"]) == (True, [guarded.address])
        other = body.replace(b"isMaster", b"serverXX")
        await stream.send(struct.pack("<iiii", 16 + len(other), 6, 0, 2004) + other)
        assert await stream.receive() is None, "no other command is taken in this form"
    finally:
        stream.abort()


async def test_all_answers_to_a_question_that_takes_several_come_through(tmp_path: Path) -> None:
    """The embedded server gives one answer at a time, so that another one stands in."""
    asked: list[Message] = []

    async def handle(message: Message) -> Sequence[dict[str, Any]]:
        asked.append(message)
        if not message.exhaust_allowed:
            return [{"ok": 1.0, "isWritablePrimary": True}]
        return [
            {"cursor": {"id": last, "ns": "x.numbers", "nextBatch": [{"_id": number}]}, "ok": 1.0}
            for number, last in enumerate((77, 77, 0))
        ]

    server = WireServer(lambda peer: handle)
    sock = socket.create_server(("127.0.0.1", 0))
    uri = f"mongodb://127.0.0.1:{sock.getsockname()[1]}/?directConnection=true"
    await server.start(sock)
    try:
        async with guarding(uri, tmp_path, "x") as guarded, bare(guarded) as connection:
            await connection.send(find(guarded, flags=Flag.EXHAUST_ALLOWED))
            several = [await answer(connection) for _ in range(3)]
            await connection.send(find(guarded, 9))
            after = await answer(connection)
    finally:
        await server.stop()
    assert [each.more_to_come for each in several] == [True, True, False]
    batches = [each.body.decode()["cursor"]["nextBatch"] for each in several]
    assert batches == [[{"_id": 0}], [{"_id": 1}], [{"_id": 2}]]
    assert after.header.response_to == 9
