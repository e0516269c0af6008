"""A request as the bytes that ask for it (RFC 9112 sections 3 and 6)."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from blackstart.cdn.hop.failures import unsendable
from blackstart.cdn.message import Request, is_held_back
from blackstart.errors import UsageError

# Methods that mean the same when asked twice (RFC 9110 section 9.2.2).
IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"})
# Fields that the hop writes itself, or that only concern the visitor's connection.
REWRITTEN = frozenset({"host", "content-length", "expect"})
# Methods whose content is expected, so that its absence is said (RFC 9110 section 8.6).
_WITH_CONTENT = frozenset({"POST", "PUT", "PATCH"})

_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET = re.compile(r"/[!-~\x80-\xff]*|\*")
_HOST = re.compile(r"[!-~\x80-\xff]*")


def head_of(request: Request, prefix: str) -> tuple[bytes, int | None]:
    """Request line and fields, and the length of the body; None: it goes in chunks.

    Nothing is added but `Host`, the body's framing, and `Expect` where its sender waits.

    Raises: UnsendableError when the request cannot be written without changing its meaning.
    """
    fields = request.headers.end_to_end().without(REWRITTEN)
    length = _length(request)
    target = request.target
    if (
        not _METHOD.fullmatch(request.method)
        or request.method == "CONNECT"
        or not _TARGET.fullmatch(target)
        or not _HOST.fullmatch(request.host)
    ):
        raise unsendable(f"a request such as {request.method[:20]!r} {target[:80]!r} is not sent")
    packed = fields.packed
    # Each field is one line: a line break inside a value would make it two.
    if not packed.count(b"\n") == packed.count(b"\r") == len(fields) or b"\0" in packed:
        raise unsendable("a field of the request has a line break in its value")
    if target != "*":
        target = prefix + target
    line = f"{request.method} {target} HTTP/1.1\r\nhost: {request.host}\r\n".encode("latin-1")
    expect = b"expect: 100-continue\r\n" if is_held_back(request.body) else b""
    return b"".join((line, packed, _framing(request, length), expect, b"\r\n")), length


def _length(request: Request) -> int | None:
    if isinstance(request.body, bytes):
        return len(request.body)
    announced = request.headers.get("content-length")
    if announced is None or not (announced.isascii() and announced.isdigit()):
        return None
    return int(announced)


def _framing(request: Request, length: int | None) -> bytes:
    if length is None:
        return b"transfer-encoding: chunked\r\n"
    if length or request.method in _WITH_CONTENT or not isinstance(request.body, bytes):
        return b"content-length: %d\r\n" % length
    return b""


async def upload(
    request: Request, length: int | None, write: Callable[[bytes], Awaitable[None]]
) -> None:
    """Pass a streamed body to `write`, in chunks or as the announced length.

    Raises: UsageError when the body is not as long as announced; what the body raises.
    """
    assert not isinstance(request.body, bytes)
    sent = 0
    async for chunk in request.body:
        if not chunk:
            continue
        sent += len(chunk)
        if length is None:
            await write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        elif sent > length:
            raise UsageError(f"the request's body is longer than the {length} bytes announced")
        else:
            await write(chunk)
    if length is None:
        await write(b"0\r\n\r\n")
    elif sent < length:
        raise UsageError(f"the request's body ended after {sent} of {length} bytes")
