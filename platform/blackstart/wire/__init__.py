"""MongoDB's wire protocol: messages as data, strictly read, and a server to answer them with."""

from blackstart.wire.answers import encode_answer, encode_command, encode_legacy_reply
from blackstart.wire.compression import COMPRESSORS, Compressor, agreed_compressors
from blackstart.wire.connections import Connections, Peer
from blackstart.wire.documents import Document, parse_document
from blackstart.wire.faults import CommandError, error_document
from blackstart.wire.header import HEADER_BYTES, Header, OpCode
from blackstart.wire.limits import WireLimits
from blackstart.wire.message import Flag, Message, Reply, Sequence
from blackstart.wire.parsing import parse, parse_message
from blackstart.wire.server import Answer, Handler, WireServer
from blackstart.wire.stream import FrameStream

__all__ = [
    "COMPRESSORS",
    "HEADER_BYTES",
    "Answer",
    "CommandError",
    "Compressor",
    "Connections",
    "Document",
    "Flag",
    "FrameStream",
    "Handler",
    "Header",
    "Message",
    "OpCode",
    "Peer",
    "Reply",
    "Sequence",
    "WireLimits",
    "WireServer",
    "agreed_compressors",
    "encode_answer",
    "encode_command",
    "encode_legacy_reply",
    "error_document",
    "parse",
    "parse_document",
    "parse_message",
]
