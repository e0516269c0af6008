"""The parser: every frame is a message or a WireError, and a message is what was sent."""

from __future__ import annotations

import contextlib
import struct
import tracemalloc
import zlib
from typing import Any

import bson
import google_crc32c
import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st
from tests.wire.bson_values import compressors, documents, flags, frames

from blackstart.errors import WireError
from blackstart.wire import (
    Compressor,
    Flag,
    Header,
    Message,
    OpCode,
    Reply,
    WireLimits,
    encode_answer,
    encode_command,
    parse,
    parse_message,
)

PING = {"ping": 1, "$db": "admin"}


def frame_of(op_code: int, content: bytes, request_id: int = 7) -> bytes:
    return Header(16 + len(content), request_id, 0, op_code).encode() + content


def msg(*sections: bytes, flags: int = 0, after: bytes = b"") -> bytes:
    return frame_of(OpCode.MSG, struct.pack("<I", flags) + b"".join(sections) + after)


def body(document: Any) -> bytes:
    return b"\0" + bson.encode(document)


def sequence(name: bytes, *held: Any) -> bytes:
    content = name + b"\0" + b"".join(bson.encode(each) for each in held)
    return b"\1" + struct.pack("<i", len(content) + 4) + content


def compressed(number: int, payload: bytes, size: int, inner: int = OpCode.MSG) -> bytes:
    return frame_of(OpCode.COMPRESSED, struct.pack("<iiB", inner, size, number) + payload)


def query(
    document: Any,
    *,
    namespace: bytes = b"admin.$cmd",
    flags: int = 0,
    skip: int = 0,
    limit: int = -1,
    after: bytes = b"",
) -> bytes:
    start = struct.pack("<i", flags) + namespace + b"\0" + struct.pack("<ii", skip, limit)
    return frame_of(OpCode.QUERY, start + bson.encode(document) + after)


def message_of(frame: bytes) -> Message:
    return parse_message(frame)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_wire_error(data: bytes) -> None:
    for frame in (data, frame_of(OpCode.MSG, data), frame_of(OpCode.COMPRESSED, data)):
        with contextlib.suppress(WireError):
            parse(frame)


@given(frames, st.data())
def test_a_damaged_frame_is_a_message_or_a_wire_error(frame: bytes, data: st.DataObject) -> None:
    """Bytes changed, cut out or put in anywhere, with the length set right again or not."""
    at = data.draw(st.integers(0, len(frame)))
    until = data.draw(st.integers(at, min(len(frame), at + 5)))
    damaged = frame[:at] + data.draw(st.binary(max_size=5)) + frame[until:]
    if data.draw(st.booleans()):
        damaged = struct.pack("<i", max(len(damaged), 4)) + damaged[4:]
    try:
        message = parse(damaged)
    except WireError:
        return
    assert message.raw == damaged


@given(documents, flags, compressors)
def test_a_command_comes_back_as_it_was_sent(
    document: dict[str, Any], flags: Flag, compressor: Compressor | None
) -> None:
    frame = encode_command(document, request_id=7, flags=flags, compressor=compressor)
    message = message_of(frame)
    assert message.raw == frame
    assert bytes(message.body.raw) == bson.encode(document)
    assert (message.flags, message.compressor) == (flags, compressor)
    assert message.header.request_id == 7
    assert message.duplicates == ()
    assert message.command == next(iter(document), "")


@given(documents, flags, compressors)
def test_an_answer_has_the_kind_compressor_and_checksum_of_its_question(
    document: dict[str, Any], flags: Flag, compressor: Compressor | None
) -> None:
    asked = message_of(encode_command(PING, request_id=7, flags=flags, compressor=compressor))
    answer = message_of(encode_answer(asked, document, request_id=9))
    assert (answer.header.request_id, answer.header.response_to) == (9, 7)
    assert (answer.checksummed, answer.compressor) == (asked.checksummed, compressor)
    assert answer.body.raw == bson.encode(document)


def test_a_handshake_of_old_gets_a_reply_of_old() -> None:
    asked = message_of(query({"isMaster": 1, "helloOk": True}, flags=4))
    assert asked.legacy
    assert asked.command == "isMaster"
    reply = parse(encode_answer(asked, {"ok": 1.0}, request_id=9))
    assert isinstance(reply, Reply)
    assert (reply.header.response_to, reply.cursor_id) == (7, 0)
    assert [each.decode() for each in reply.documents] == [{"ok": 1.0}]


@pytest.mark.parametrize(
    "frame",
    [
        query({"find": "deploys"}),
        query({"drop": "deploys", "isMaster": 1}),
        query({"isMaster": 1}, namespace=b"blackstart.$cmd"),
        query({"isMaster": 1}, namespace=b"admin.$cmd.sys"),
        query({"isMaster": 1}, limit=2),
        query({"isMaster": 1}, skip=1),
        query({"isMaster": 1}, flags=64),
        query({"isMaster": 1}, after=bson.encode({})),
        query({"isMaster": 1})[:20],
    ],
)
def test_op_query_is_for_the_handshake_alone(frame: bytes) -> None:
    with pytest.raises(WireError):
        parse(struct.pack("<i", len(frame)) + frame[4:])


def test_sequences_belong_to_the_body_before_or_after_it() -> None:
    first, second = sequence(b"updates", {"q": {}}, {"q": 1}), sequence(b"extra")
    message = message_of(msg(first, body(PING), second))
    assert message.command == "ping"
    assert [each.name for each in message.sequences] == ["updates", "extra"]
    assert [each.decode() for each in message.sequences[0].documents] == [{"q": {}}, {"q": 1}]


@pytest.mark.parametrize(
    "frame",
    [
        msg(),
        msg(sequence(b"updates")),
        msg(body(PING), body(PING)),
        msg(body(PING), b"\2" + bson.encode({})),
        msg(body(PING), after=b"\0"),
        msg(body(PING), after=b"junk"),
        msg(body(PING), sequence(b"ping")),
        msg(body(PING), sequence(b"updates"), sequence(b"updates")),
        msg(body(PING), sequence(b"")),
        msg(body(PING), sequence(b"updates.0")),
        msg(body(PING), sequence(b"\xff")),
        msg(body(PING), b"\1\x04\0\0\0"),
        msg(body(PING), b"\1\xff\xff\xff\x7fa\0"),
        msg(body(PING), flags=4),
        msg(body(PING), flags=1 << 15),
        msg(body(PING), flags=1, after=b"\0\0\0\0"),
        msg(flags=1),
        frame_of(OpCode.MSG, b"\0"),
        frame_of(2010, b"\0"),
        frame_of(2002, b"\0\0\0\0blackstart.deploys\0" + bson.encode({})),
    ],
)
def test_what_the_specification_forbids_is_refused(frame: bytes) -> None:
    with pytest.raises(WireError):
        parse(frame)


def test_an_optional_flag_that_is_not_known_is_passed_over() -> None:
    assert message_of(msg(body(PING), flags=1 << 20)).flags == Flag(0)


def test_a_checksum_covers_header_and_content() -> None:
    start = Header(16 + 4 + len(body(PING)) + 4, 7, 0, OpCode.MSG).encode()
    start += struct.pack("<I", 1) + body(PING)
    right = start + struct.pack("<I", google_crc32c.value(start))
    assert message_of(right).checksummed
    for at in (5, 18, 30):
        wrong = bytearray(right)
        wrong[at] ^= 1
        with pytest.raises(WireError):
            parse(bytes(wrong))


def test_a_frame_is_exactly_as_long_as_it_says() -> None:
    frame = msg(body(PING))
    for wrong in (frame + b"\0", frame[:-1], frame[:15], b""):
        with pytest.raises(WireError):
            parse(wrong)
    with pytest.raises(WireError):
        parse(frame, WireLimits(message_bytes=len(frame) - 1))
    with pytest.raises(WireError):
        parse(frame, WireLimits(document_bytes=10))


INNER = struct.pack("<I", 0) + body(PING)


@pytest.mark.parametrize(
    "frame",
    [
        compressed(0, INNER, len(INNER) + 1),
        compressed(0, INNER, len(INNER) - 1),
        compressed(1, INNER, len(INNER)),
        compressed(9, INNER, len(INNER)),
        compressed(2, INNER, len(INNER)),
        compressed(2, zlib.compress(INNER), len(INNER) - 1),
        compressed(2, zlib.compress(INNER), len(INNER) + 1),
        compressed(2, zlib.compress(INNER)[:-1], len(INNER)),
        compressed(2, zlib.compress(INNER) + b"x", len(INNER)),
        compressed(3, zstandard.compress(INNER) + b"x", len(INNER)),
        compressed(3, zstandard.compress(INNER)[:-1], len(INNER)),
        compressed(3, zstandard.compress(INNER), len(INNER) + 1),
        compressed(3, b"", 0),
        compressed(0, INNER, -1),
        compressed(0, INNER, len(INNER), inner=OpCode.COMPRESSED),
        frame_of(OpCode.COMPRESSED, b"\0\0\0\0"),
    ],
)
def test_a_compressed_message_is_whole_and_of_its_size(frame: bytes) -> None:
    with pytest.raises(WireError):
        parse(frame)


@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize("told", [1_000, 40_000_000])
def test_a_bomb_takes_no_more_memory_than_its_message_announces(number: int, told: int) -> None:
    zeros = bytes(60_000_000)
    payload = zlib.compress(zeros, 9) if number == 2 else zstandard.compress(zeros, 19)
    streamed = zstandard.ZstdCompressor(write_content_size=False).compress(zeros)
    bombs = [payload] if number == 2 else [payload, streamed]
    del zeros
    for bomb in bombs:
        tracemalloc.start()
        try:
            with pytest.raises(WireError):
                parse(compressed(number, bomb, told))
            assert tracemalloc.get_traced_memory()[1] < 2.5 * told + 1_000_000
        finally:
            tracemalloc.stop()


@example(b"")
@given(st.binary(max_size=40))
def test_only_what_was_judged_is_kept_to_be_forwarded(tail: bytes) -> None:
    frame = msg(body(PING), sequence(b"documents", {"_id": tail}))
    message = message_of(frame)
    assert message.raw is frame
