"""From documents to frames: answers in the manner they were asked, and commands."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import bson
import google_crc32c
from bson.raw_bson import RawBSONDocument

from blackstart.wire.compression import Compressor, compress
from blackstart.wire.documents import PLAIN
from blackstart.wire.header import HEADER_BYTES, Header, OpCode
from blackstart.wire.message import NO_FLAGS, Flag, Message

_UINT32 = struct.Struct("<I")
_COMPRESSED = struct.Struct("<iiB")
_REPLY = struct.Struct("<iqii")
_AWAIT_CAPABLE = 8


def encode_answer(
    asked: Message,
    document: Mapping[str, Any] | bytes,
    *,
    request_id: int,
    more_to_come: bool = False,
) -> bytes:
    """An answer as MongoDB gives it: by the kind, compressor and checksum of the question."""
    if asked.legacy:
        return encode_legacy_reply(asked.header.request_id, document, request_id=request_id)
    flags = Flag.MORE_TO_COME if more_to_come else NO_FLAGS
    if asked.checksummed:
        flags |= Flag.CHECKSUM_PRESENT
    return _encode_msg(document, flags, request_id, asked.header.request_id, asked.compressor)


def encode_command(
    document: Mapping[str, Any] | bytes,
    *,
    request_id: int,
    flags: Flag = NO_FLAGS,
    compressor: Compressor | None = None,
) -> bytes:
    """A question by OP_MSG, all of it in the body."""
    return _encode_msg(document, flags, request_id, 0, compressor)


def encode_legacy_reply(
    response_to: int, document: Mapping[str, Any] | bytes, *, request_id: int
) -> bytes:
    """The OP_REPLY to a handshake by OP_QUERY."""
    fields = _REPLY.pack(_AWAIT_CAPABLE, 0, 0, 1)
    return _frame(OpCode.REPLY, fields + encode_document(document), request_id, response_to)


def encode_document(document: Mapping[str, Any] | bytes) -> bytes:
    if isinstance(document, bytes):
        return document
    if isinstance(document, RawBSONDocument):
        return bytes(document.raw)
    return bson.encode(document, codec_options=PLAIN)


def _encode_msg(
    document: Mapping[str, Any] | bytes,
    flags: Flag,
    request_id: int,
    response_to: int,
    compressor: Compressor | None,
) -> bytes:
    content = _UINT32.pack(flags) + b"\0" + encode_document(document)
    if Flag.CHECKSUM_PRESENT in flags:
        length = HEADER_BYTES + len(content) + 4
        header = Header(length, request_id, response_to, OpCode.MSG)
        content += _UINT32.pack(google_crc32c.value(header.encode() + content))
    if compressor is None:
        return _frame(OpCode.MSG, content, request_id, response_to)
    sizes = _COMPRESSED.pack(OpCode.MSG, len(content), compressor)
    packed = sizes + compress(compressor, content)
    return _frame(OpCode.COMPRESSED, packed, request_id, response_to)


def _frame(op_code: OpCode, content: bytes, request_id: int, response_to: int) -> bytes:
    header = Header(HEADER_BYTES + len(content), request_id, response_to, op_code)
    return header.encode() + content
