"""From a frame's bytes to a message, or a WireError: nothing is guessed, nothing is passed over.

The rules are those of MongoDB's wire protocol and of its OP_MSG and
OP_COMPRESSED specifications; what they leave open is refused here.
"""

from __future__ import annotations

import struct
from dataclasses import replace

import google_crc32c

from blackstart.errors import WireError
from blackstart.wire.compression import Compressor, decompress
from blackstart.wire.documents import Document, document_at, top_keys
from blackstart.wire.frames import frame_length
from blackstart.wire.header import HEADER_BYTES, Header, OpCode
from blackstart.wire.limits import LIMITS, WireLimits
from blackstart.wire.message import Flag, Message, Reply, Sequence

CHECKSUM_BYTES = 4
HANDSHAKES = frozenset({"hello", "isMaster", "ismaster"})
"""All that may still be asked by OP_QUERY since MongoDB 5.1."""
LEGACY_NAMESPACE = b"admin.$cmd"

_REQUIRED_FLAGS = 0xFFFF
_KNOWN_FLAGS = int(Flag.CHECKSUM_PRESENT | Flag.MORE_TO_COME | Flag.EXHAUST_ALLOWED)
_CHECKSUMMED = int(Flag.CHECKSUM_PRESENT)
_FLAGS = {bits: Flag(bits) for bits in range(_KNOWN_FLAGS + 1) if not bits & ~_KNOWN_FLAGS}
"""Made once: an enum's own arithmetic takes longer than the rest of a message's head."""
_SECONDARY_OK = 4
_BODY, _SEQUENCE = 0, 1
_UINT32 = struct.Struct("<I")
_INT32 = struct.Struct("<i")
_COMPRESSED = struct.Struct("<iiB")
_QUERY_TAIL = struct.Struct("<ii")
_REPLY = struct.Struct("<iqii")


def parse_message(frame: bytes, limits: WireLimits = LIMITS) -> Message:
    """What a client may send. Raises: WireError, also for an OP_REPLY."""
    message = parse(frame, limits)
    if isinstance(message, Reply):
        raise WireError("an OP_REPLY where a command is expected")
    return message


def parse(frame: bytes, limits: WireLimits = LIMITS) -> Message | Reply:
    """One whole frame, of any kind that is spoken here. Raises: WireError."""
    if frame_length(frame, limits) != len(frame):
        raise WireError(f"a message of {len(frame)} bytes announces another length")
    header = Header.decode(frame)
    if header.op_code != OpCode.COMPRESSED:
        return _parse_plain(header, frame, limits)
    compressor, inner = _inflate(header, frame, limits)
    message = _parse_plain(Header.decode(inner), inner, limits)
    return replace(message, header=header, raw=frame, compressor=compressor)


def plain_frame(message: Message, limits: WireLimits = LIMITS) -> bytes:
    """The frame a message came in, without the compression it may have come in."""
    if message.compressor is None:
        return message.raw
    return _inflate(message.header, message.raw, limits)[1]


def _parse_plain(header: Header, frame: bytes, limits: WireLimits) -> Message | Reply:
    if header.op_code == OpCode.MSG:
        return _parse_msg(header, frame, limits)
    if header.op_code == OpCode.QUERY:
        return _parse_query(header, frame, limits)
    if header.op_code == OpCode.REPLY:
        return _parse_reply(header, frame, limits)
    raise WireError(f"a message of an unknown kind {header.op_code}")


def _inflate(header: Header, frame: bytes, limits: WireLimits) -> tuple[Compressor, bytes]:
    """What an OP_COMPRESSED wraps, as the frame it would have been."""
    start = HEADER_BYTES + _COMPRESSED.size
    if len(frame) < start:
        raise WireError("a compressed message without its sizes")
    op_code, size, number = _COMPRESSED.unpack_from(frame, HEADER_BYTES)
    if op_code == OpCode.COMPRESSED:
        raise WireError("a compressed message in a compressed message")
    if not 0 <= size <= limits.message_bytes - HEADER_BYTES:
        raise WireError(f"a compressed message announces {size} bytes")
    try:
        compressor = Compressor(number)
    except ValueError as error:
        raise WireError(f"a message by an unknown compressor {number}") from error
    plain = Header(HEADER_BYTES + size, header.request_id, header.response_to, op_code)
    return compressor, plain.encode() + decompress(compressor, frame[start:], size)


def _parse_msg(header: Header, frame: bytes, limits: WireLimits) -> Message:
    flags, end = _msg_flags(frame)
    body: Document | None = None
    sequences: list[Sequence] = []
    at = HEADER_BYTES + 4
    while at < end:
        kind = frame[at]
        if kind == _BODY and body is None:
            body, at = document_at(frame, at + 1, end, limits)
        elif kind == _SEQUENCE:
            sequence, at = _parse_sequence(frame, at + 1, end, limits)
            sequences.append(sequence)
        else:
            raise WireError("two bodies" if kind == _BODY else f"a section of unknown kind {kind}")
    if body is None:
        raise WireError("a message without a body")
    if sequences:
        _refuse_two_of_a_name(body, sequences)
    return Message(header, frame, body, tuple(sequences), flags)


def _msg_flags(frame: bytes) -> tuple[Flag, int]:
    """A message's flags, and where its sections end; its checksum is verified."""
    if len(frame) < HEADER_BYTES + 4:
        raise WireError("a message without flags")
    (bits,) = _UINT32.unpack_from(frame, HEADER_BYTES)
    if bits & _REQUIRED_FLAGS & ~_KNOWN_FLAGS:
        raise WireError(f"a message with unknown required flags {bits:#x}")
    flags = _FLAGS[bits & _KNOWN_FLAGS]
    if not bits & _CHECKSUMMED:
        return flags, len(frame)
    end = len(frame) - CHECKSUM_BYTES
    if end < HEADER_BYTES + 4:
        raise WireError("a message without its checksum")
    (told,) = _UINT32.unpack_from(frame, end)
    if told != google_crc32c.value(frame[:end]):
        raise WireError("a message with a wrong checksum")
    return flags, end


def _parse_sequence(
    frame: bytes, start: int, stop: int, limits: WireLimits
) -> tuple[Sequence, int]:
    if stop - start < 4:
        raise WireError("a sequence without its size")
    (size,) = _INT32.unpack_from(frame, start)
    if not 5 <= size <= stop - start:
        raise WireError(f"a sequence announces {size} bytes where {stop - start} are left")
    end = start + size
    name, at = _cstring(frame, start + 4, end)
    if not name or "." in name:
        raise WireError(f"a sequence named {name!r}, which is no field's name")
    documents = []
    while at < end:
        document, at = document_at(frame, at, end, limits)
        documents.append(document)
        if len(documents) > limits.documents:
            raise WireError(f"a sequence of more than {limits.documents} documents")
    return Sequence(name, tuple(documents)), end


def _refuse_two_of_a_name(body: Document, sequences: list[Sequence]) -> None:
    """What a sequence names may come once, and not in the body too."""
    names = [each.name for each in sequences]
    if len(set(names)) != len(names) or top_keys(body).intersection(names):
        raise WireError("two sections hold the same field")


def _cstring(frame: bytes, start: int, stop: int) -> tuple[str, int]:
    end = frame.find(0, start, stop)
    if end < 0:
        raise WireError("a name without an end")
    try:
        return frame[start:end].decode(), end + 1
    except UnicodeDecodeError as error:
        raise WireError("a name that is not UTF-8") from error


def _parse_query(header: Header, frame: bytes, limits: WireLimits) -> Message:
    """A handshake of old: `{isMaster: 1, ...}` asked of `admin.$cmd`, and nothing else."""
    at = HEADER_BYTES + 4
    tail = at + len(LEGACY_NAMESPACE) + 1
    if frame[at:tail] != LEGACY_NAMESPACE + b"\0" or len(frame) < tail + _QUERY_TAIL.size:
        raise WireError("OP_QUERY is spoken for the handshake on admin.$cmd only")
    (flags,) = _UINT32.unpack_from(frame, HEADER_BYTES)
    skip, limit = _QUERY_TAIL.unpack_from(frame, tail)
    if flags & ~_SECONDARY_OK or skip != 0 or limit not in (-1, 1):
        raise WireError("an OP_QUERY with flags, skip or limit that no handshake has")
    body, end = document_at(frame, tail + _QUERY_TAIL.size, len(frame), limits)
    if end != len(frame):
        raise WireError("something follows the document of an OP_QUERY")
    if body.first_key not in HANDSHAKES:
        raise WireError(f"OP_QUERY is spoken for the handshake only, not for {body.first_key!r}")
    return Message(header, frame, body, legacy=True)


def _parse_reply(header: Header, frame: bytes, limits: WireLimits) -> Reply:
    at = HEADER_BYTES + _REPLY.size
    if len(frame) < at:
        raise WireError("an OP_REPLY without its fields")
    flags, cursor_id, _, count = _REPLY.unpack_from(frame, HEADER_BYTES)
    documents = []
    while at < len(frame):
        document, at = document_at(frame, at, len(frame), limits)
        documents.append(document)
    if len(documents) != count:
        raise WireError(f"an OP_REPLY with {len(documents)} documents announces {count}")
    return Reply(header, frame, flags, cursor_id, tuple(documents))
