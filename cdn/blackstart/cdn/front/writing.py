"""How an answer goes out: status line, fields, and what marks the body's end (RFC 9112)."""

from __future__ import annotations

from enum import Enum, auto
from http import HTTPStatus

from blackstart.cdn.front.shared import Dates
from blackstart.cdn.message import Headers, Response

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_CLOSE = b"connection: close\r\n"
_KEEP_ALIVE = b"connection: keep-alive\r\n"
_CHUNKED = b"transfer-encoding: chunked\r\n"
_LENGTH = b"content-length: "

_STATUS_LINES = {
    status: f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode()
    if status in HTTPStatus._value2member_map_
    else f"HTTP/1.1 {status} \r\n".encode()
    for status in range(100, 1000)
}


class Ending(Enum):
    """What tells the client where the body ends."""

    HEAD = auto()  # there is no body, whatever the fields say
    LENGTH = auto()
    CHUNKED = auto()
    CLOSE = auto()


class BadAnswer(Exception):
    """The node's answer can't be sent as it is: a fault of ours, not of the client."""


def start_line_and_fields(
    response: Response, ending: Ending, *, close: bool, is_1_0: bool, dates: Dates
) -> bytes:
    """An answer's head, up to the empty line.

    Raises: BadAnswer when the status is none for a last answer, or the
    Content-Length is not that of the body.
    """
    status = response.status
    if status < 200:
        raise BadAnswer(f"an answer with status {status}")
    packed = response.headers.packed
    parts = [_STATUS_LINES[status], packed]
    if not packed.startswith(b"date: ") and b"\ndate: " not in packed:
        parts.append(dates.line())
    if ending is Ending.LENGTH and isinstance(response.body, bytes):
        line = b"content-length: %d\r\n" % len(response.body)
        if b"\n" + line not in packed and not packed.startswith(line):
            if declared_length(packed) is not None:
                raise BadAnswer("a Content-Length that is not the body's")
            parts.append(line)
    elif ending is Ending.CHUNKED:
        parts.append(_CHUNKED)
    elif status == 204 and declared_length(packed) is not None:
        # RFC 9110 section 8.6: a 204 has none.
        parts[1] = response.headers.without({"content-length"}).packed
    if close:
        parts.append(_CLOSE)
    elif is_1_0:
        parts.append(_KEEP_ALIVE)
    parts.append(b"\r\n")
    return b"".join(parts)


def ending_of(response: Response, method: str, is_1_0: bool) -> Ending:
    """How the body ends (RFC 9112 section 6.3)."""
    status = response.status
    if method == "HEAD" or status == 304 or status == 204:
        return Ending.HEAD
    if isinstance(response.body, bytes) or declared_length(response.headers.packed) is not None:
        return Ending.LENGTH
    return Ending.CLOSE if is_1_0 else Ending.CHUNKED


def declared_length(packed: bytes) -> int | None:
    """The Content-Length among packed fields, or None. Raises: BadAnswer when it is no number."""
    if packed.startswith(_LENGTH):
        at = 0
    else:
        at = packed.find(b"\n" + _LENGTH) + 1
        if not at:
            return None
    value = packed[at + len(_LENGTH) : packed.index(b"\r\n", at)]
    if not value.isdigit():
        raise BadAnswer(f"a Content-Length that is no number: {value!r}")
    return int(value)


def interim(status: int, headers: Headers) -> bytes:
    """An answer that comes before the answer, such as 103."""
    return _STATUS_LINES[status] + headers.packed + b"\r\n"


def chunk(data: bytes) -> bytes:
    """A piece of a chunked body; not an empty one, which would end it."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"
