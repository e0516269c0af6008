"""Ways round the guard that are made of bytes: each over a real socket, before a stub that records.

What reaches the database is what the guard has read and let through, and nothing else.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import bson
import google_crc32c
import pytest
import zstandard
from bson import Int64
from tests.guard.proxy.recording import Raw, Recorded, recording

from blackstart.errors import WireError
from blackstart.guard.requests import State
from blackstart.wire import Compressor, Flag, encode_command, parse_message
from blackstart.wire.limits import MAX_DOCUMENTS

FIND = {"find": "sites", "$db": "shop"}
DROP = {"drop": "sites", "$db": "shop"}
MANY = {"q": {}, "u": {"$set": {"a": 1}}, "multi": True}
UPDATE = {"update": "sites", "$db": "shop"}
MSG, COMPRESSED = 2013, 2012


@pytest.fixture
async def recorded(tmp_path: Path) -> AsyncIterator[Recorded]:
    async with recording(tmp_path) as found:
        yield found


def frame(op_code: int, content: bytes, length: int | None = None) -> bytes:
    told = 16 + len(content) if length is None else length
    return struct.pack("<iiii", told, 7, 0, op_code) + content


def body(command: dict[str, Any]) -> bytes:
    return b"\0" + bson.encode(command)


def msg(*sections: bytes, flags: int = 0) -> bytes:
    content = struct.pack("<I", flags) + b"".join(sections)
    if flags & 1:
        head = struct.pack("<iiii", 16 + len(content) + 4, 7, 0, MSG)
        content += struct.pack("<I", google_crc32c.value(head + content))
    return frame(MSG, content)


def sequence(name: str, *documents: dict[str, Any]) -> bytes:
    content = name.encode() + b"\0" + b"".join(map(bson.encode, documents))
    return b"\1" + struct.pack("<i", len(content) + 4) + content


def compressed(inner: bytes, number: int, packed: bytes, *, size: int | None = None) -> bytes:
    """`inner` is a frame whose content is packed; `size` lies about it."""
    (op_code,) = struct.unpack_from("<i", inner, 12)
    told = len(inner) - 16 if size is None else size
    return frame(COMPRESSED, struct.pack("<iiB", op_code, told, number) + packed)


def zipped(inner: bytes, *, size: int | None = None) -> bytes:
    return compressed(inner, 2, zlib.compress(inner[16:]), size=size)


def query(name: str, document: dict[str, Any]) -> bytes:
    """OP_QUERY, as drivers of old spoke it."""
    content = b"\0\0\0\0" + name.encode() + b"\0" + struct.pack("<ii", 0, -1)
    return frame(2004, content + bson.encode(document))


NAMESPACE = b"\0\0\0\0shop.sites\0"
HELD: dict[str, bytes] = {
    "drop": msg(body(DROP)),
    "drop with a checksum": msg(body(DROP), flags=1),
    "drop by zlib": zipped(msg(body(DROP))),
    "drop by zstd": compressed(msg(body(DROP)), 3, zstandard.compress(msg(body(DROP))[16:])),
    "drop by no compressor": compressed(msg(body(DROP)), 0, msg(body(DROP))[16:]),
    "drop with exhaust": msg(body(DROP), flags=1 << 16),
    "drop with a flag that nobody knows": msg(body(DROP), flags=1 << 20),
    "updateMany beside the body": msg(body(UPDATE), sequence("updates", MANY)),
    "updateMany before the body": msg(sequence("updates", MANY), body(UPDATE)),
    "updateMany beside the body, by zlib": zipped(msg(body(UPDATE), sequence("updates", MANY))),
}
REFUSED: dict[str, bytes] = {
    "drop without answer": msg(body(DROP), flags=2),
    "updates in the body and beside it": msg(
        body({**UPDATE, "updates": [MANY]}), sequence("updates", MANY)
    ),
    "two bodies": msg(body(FIND), body(DROP)),
    "a second command behind the first": msg(body(FIND)) [:-1] + b"\0" + body(DROP),
    "a wrong checksum": msg(body(FIND), flags=1)[:-1] + b"\0",
    "a required flag that nobody knows": msg(body(FIND), flags=1 << 3),
    "a frame longer than it says": frame(MSG, msg(body(FIND))[16:], 20) + msg(body(DROP)),
    "a length of nothing": frame(MSG, msg(body(DROP))[16:], 0),
    "a length below zero": frame(MSG, msg(body(DROP))[16:], -1),
    "a length beyond the limit": frame(MSG, msg(body(DROP))[16:], 2**31 - 1),
    "a compressed frame in a compressed frame": zipped(zipped(msg(body(DROP)))),
    "a compressed frame that is larger than it says": zipped(msg(body(DROP)), size=9),
    "a compressed frame that is smaller than it says": zipped(msg(body(DROP)), size=4_000),
    "a compressed frame of a huge size": zipped(msg(body(DROP)), size=2**31 - 1),
    "a compressed frame of a size below zero": zipped(msg(body(DROP)), size=-1),
    "snappy": compressed(msg(body(DROP)), 1, msg(body(DROP))[16:]),
    "a compressor that nobody knows": compressed(msg(body(DROP)), 9, msg(body(DROP))[16:]),
    "bytes behind a compressed frame": frame(
        COMPRESSED, zipped(msg(body(FIND)))[16:] + msg(body(DROP))
    ),
    "OP_UPDATE": frame(2001, NAMESPACE + b"\2\0\0\0" + bson.encode({}) + bson.encode(MANY["u"])),
    "OP_INSERT": frame(2002, NAMESPACE + bson.encode({"_id": 1})),
    "OP_GET_MORE": frame(2005, NAMESPACE + bytes(12)),
    "OP_DELETE": frame(2006, NAMESPACE + bytes(4) + bson.encode({})),
    "OP_KILL_CURSORS": frame(2007, bytes(4) + struct.pack("<iq", 1, 5)),
    "OP_COMMAND": frame(2010, b"shop\0drop\0" + bson.encode(DROP) + bson.encode({})),
    "OP_REPLY": frame(1, bytes(20)),
    "OP_QUERY of documents": query("shop.sites", {}),
    "OP_QUERY of a command": query("shop.$cmd", {"drop": "sites"}),
    "OP_QUERY of a command on admin": query("admin.$cmd", {"shutdown": 1}),
    "OP_QUERY that wraps a command": query("admin.$cmd", {"$query": {"drop": "sites"}}),
}  # fmt: skip


@pytest.mark.parametrize("way", HELD)
async def test_however_it_is_wrapped_a_dangerous_write_is_held(
    recorded: Recorded, way: str
) -> None:
    async with recorded.raw() as raw:
        await raw.send(HELD[way])
        answer = await raw.receive()
        assert answer is not None
        assert "held as request 1" in answer["errmsg"]
        assert (await raw.ask(FIND))["ok"] == 1.0, "the connection goes on"
    assert recorded.stub.asked() == ["find"]
    assert [each.state for each in recorded.book.all()] == [State.HELD]


@pytest.mark.parametrize("way", REFUSED)
async def test_what_no_driver_sends_reaches_nobody(recorded: Recorded, way: str) -> None:
    async with recorded.raw() as raw:
        await raw.send(REFUSED[way])
        answers = await raw.rest()
    passed = [each for each in answers if each["ok"]]
    assert recorded.stub.asked() == ["find"] * len(passed)
    recorded.stub.check()
    assert recorded.book.all() == []


async def test_two_messages_in_one_segment_are_judged_one_by_one(recorded: Recorded) -> None:
    async with recorded.raw() as raw:
        await raw.send(msg(body(FIND)) + msg(body(DROP)) + msg(body(FIND)) + msg(body(DROP))[:30])
        answers = await raw.rest()
    assert [each["ok"] for each in answers] == [1.0, 0.0, 1.0]
    assert recorded.stub.asked() == ["find", "find"]


@pytest.mark.parametrize("command", [FIND, DROP])
async def test_a_message_in_pieces_of_one_byte_is_one_message(
    recorded: Recorded, command: dict[str, Any]
) -> None:
    async with recorded.raw() as raw:
        whole = encode_command(command, request_id=3, compressor=Compressor.ZLIB)
        await raw.send(*(whole[at : at + 1] for at in range(len(whole))))
        answer = await raw.receive()
    assert answer is not None
    assert answer["ok"] == (1.0 if command is FIND else 0.0)
    assert recorded.stub.asked() == (["find"] if command is FIND else [])


async def test_nobody_asks_before_the_login(recorded: Recorded) -> None:
    async with recorded.raw("") as raw:
        for command in (FIND, DROP, {"guardRequests": 1, "$db": "admin"}, {"logout": 1}, FIND):
            answer = await raw.ask({**command, "$db": "admin"})
            assert answer["ok"] == (1.0 if "logout" in command else 0.0)
    assert recorded.stub.asked() == []
    assert recorded.lines.lines == []


async def test_after_a_logout_nobody_asks_either(recorded: Recorded) -> None:
    async with recorded.raw() as raw:
        assert (await raw.ask({"logout": 1, "$db": "admin"}))["ok"] == 1.0
        assert (await raw.ask(FIND))["code"] == 13
    assert recorded.stub.asked() == []


async def test_a_stranger_announces_little(recorded: Recorded) -> None:
    async with recorded.raw("") as raw:
        await raw.send(frame(MSG, b"", 1_000_000))
        assert await raw.receive() is None
    async with recorded.raw() as raw:
        large = {"insert": "sites", "documents": [{"_id": 1, "a": "x" * 1_000_000}], "$db": "shop"}
        assert (await raw.ask(large))["ok"] == 1.0


def test_more_documents_than_any_server_takes_are_refused_before_they_are_held() -> None:
    empty = b"\5\0\0\0\0"
    content = b"documents\0" + empty * (MAX_DOCUMENTS + 1)
    many = b"\1" + struct.pack("<i", len(content) + 4) + content
    with pytest.raises(WireError, match="documents"):
        parse_message(msg(body({"insert": "sites", "$db": "shop"}), many))


async def approve(recorded: Recorded, number: int, name: str = "bob") -> dict[str, Any]:
    async with recorded.raw(name) as raw:
        digest = recorded.book.get(number).digest
        more = {"digest": digest, "reason": "agreed", "$db": "admin"}
        return await raw.ask({"guardApprove": number, **more})


async def test_an_approval_is_for_one_command_of_one_login_and_once(recorded: Recorded) -> None:
    async with recorded.raw() as ada, recorded.raw("bob") as bob:
        await ada.ask(DROP)
        assert (await approve(recorded, 1, "ada"))["ok"] == 0.0
        assert (await approve(recorded, 1))["ok"] == 1.0
        changed: list[tuple[Raw, dict[str, Any]]] = [
            (ada, {"drop": "sites2", "$db": "shop"}),
            (ada, {"drop": "sites", "$db": "shop2"}),
            (ada, {**DROP, "comment": "x"}),
            (ada, {**DROP, "maxTimeMS": 5}),
            (bob, DROP),
        ]
        for raw, command in changed:
            assert "held as request" in (await raw.ask(command))["errmsg"]
        assert recorded.stub.asked() == []
        assert (await ada.ask(DROP))["ok"] == 1.0
        assert "held as request" in (await ada.ask(DROP))["errmsg"]
    assert recorded.stub.asked() == ["drop"]


async def test_what_was_approved_is_what_is_sent_however_it_is_wrapped(recorded: Recorded) -> None:
    async with recorded.raw() as ada:
        await ada.ask(DROP)
        await approve(recorded, 1)
        hidden = msg(body(DROP), sequence("also", {"drop": "users"}))
        await ada.send(hidden)
        answer = await ada.receive()
        assert answer is not None
        assert "held as request 2" in answer["errmsg"]
        await ada.send(zipped(msg(body(DROP), flags=1)))
        assert (await ada.receive() or {})["ok"] == 1.0
    (sent,) = [each for each in recorded.stub.messages() if each.command == "drop"]
    assert (sent.sequences, sent.flags) == ((), Flag.CHECKSUM_PRESENT)


async def test_sessions_cursors_and_transactions_of_others_are_closed(recorded: Recorded) -> None:
    session = {"lsid": {"id": b"0" * 16}}
    transaction = {**session, "txnNumber": Int64(1), "autocommit": False}
    async with recorded.raw() as ada, recorded.raw("bob") as bob:
        insert = {"insert": "x", "documents": [{"_id": 1}], "$db": "shop"}
        assert (await ada.ask({**insert, **transaction, "startTransaction": True}))["ok"] == 1.0
        for theft in (
            {**FIND, **session},
            {**insert, **transaction},
            {"commitTransaction": 1, "$db": "admin", **transaction},
            {"abortTransaction": 1, "$db": "admin", **transaction},
            {"endSessions": [session["lsid"]], "$db": "admin"},
            {"getMore": Int64(5), "collection": "x", "$db": "shop"},
            {**FIND, "lsid": {**session["lsid"], "uid": b"0" * 32}},
        ):
            assert (await bob.ask(theft))["ok"] == 0.0, theft
        kill = {"killCursors": "x", "cursors": [Int64(5)], "$db": "shop"}
        assert (await bob.ask(kill))["cursorsKilled"] == []
        for end in ("commitTransaction", "abortTransaction"):
            bare = {end: 1, "$db": "admin", **session, "txnNumber": Int64(1)}
            assert (await ada.ask(bare))["ok"] == 0.0
    assert recorded.stub.asked() == ["insert"]


async def test_an_answer_to_another_question_ends_the_connection(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a read without answer could answer for a held write that came behind it."""
    answered = recorded.stub._answer

    def late(data: bytes, writer: Any) -> None:
        answered(data[:4] + struct.pack("<i", 99) + data[8:], writer)

    async with recorded.raw() as ada:
        await ada.ask(DROP)
        await approve(recorded, 1)
        monkeypatch.setattr(recorded.stub, "_answer", late)
        await ada.send(msg(body(DROP)))
        assert await ada.receive() is None
    assert recorded.book.get(1).state is State.UNKNOWN
