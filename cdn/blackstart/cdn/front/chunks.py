"""The chunked transfer coding of a request body, taken apart as it arrives (RFC 9112 section 7.1).

Stricter than the RFC asks: lines end with CR LF, sizes have at most 15 digits,
extensions and trailers are bounded and thrown away.
"""

from __future__ import annotations

import re

from blackstart.cdn.front.refusal import Refusal

# What all extensions of one body may take together: they are overhead nobody reads.
EXTENSIONS_BYTES = 4096
_LINE_BYTES = 1024
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_EXTENSION = rb";%b(?:=(?:%b|%b))?" % (_TOKEN, _TOKEN, _QUOTED)
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})((?:%b)+)?" % _EXTENSION)
_TRAILER = re.compile(_TOKEN + rb":[\t\x20-\x7e\x80-\xff]*")


class Chunks:
    """Feed it what arrives; `rest` is set once the last chunk and its trailers are through."""

    def __init__(self, trailers_bytes: int) -> None:
        self.rest: bytes | None = None
        self._read = self._size
        self._pending = b""
        self._left = 0
        self._extensions_left = EXTENSIONS_BYTES
        self._trailers_left = trailers_bytes
        self._out: list[bytes] = []

    def feed(self, data: bytes) -> list[bytes]:
        """The body's bytes in `data`. Raises: Refusal."""
        assert self.rest is None, "the body has ended"
        data = self._pending + data if self._pending else data
        position = 0
        self._out = []
        while self.rest is None:
            after = self._read(data, position)
            if after is None:
                break
            position = after
        if self.rest is None:
            self._pending = data[position:]
        return self._out

    def _size(self, data: bytes, at: int) -> int | None:
        line = _line(data, at, _LINE_BYTES, "a chunk's size line is too long")
        if line is None:
            return None
        match = _SIZE.fullmatch(line)
        if match is None:
            raise Refusal(
                400, "a chunk's size line is not a hexadecimal number and well-formed extensions"
            )
        if match[2] is not None:
            self._extensions_left -= len(match[2])
            if self._extensions_left < 0:
                raise Refusal(400, "the chunk extensions are too long")
        self._left = int(match[1], 16)
        self._read = self._data if self._left else self._trailer
        return at + len(line) + 2

    def _data(self, data: bytes, at: int) -> int | None:
        piece = data[at : at + self._left]
        if not piece:
            return None
        self._out.append(piece)
        self._left -= len(piece)
        if not self._left:
            self._read = self._data_end
        return at + len(piece)

    def _data_end(self, data: bytes, at: int) -> int | None:
        end = data[at : at + 2]
        if not b"\r\n".startswith(end):
            raise Refusal(400, "a chunk is longer than its size says")
        if len(end) < 2:
            return None
        self._read = self._size
        return at + 2

    def _trailer(self, data: bytes, at: int) -> int | None:
        line = _line(data, at, self._trailers_left, "the trailers are too long", status=431)
        if line is None:
            return None
        after = at + len(line) + 2
        self._trailers_left -= len(line) + 2
        if not line:
            self.rest = data[after:]
        elif _TRAILER.fullmatch(line) is None:
            raise Refusal(400, "a trailer is not `name: value`")
        return after


def _line(data: bytes, at: int, limit: int, complaint: str, status: int = 400) -> bytes | None:
    end = data.find(b"\r\n", at)
    if (len(data) if end < 0 else end) - at > limit:
        raise Refusal(status, complaint)
    if end >= 0:
        return data[at:end]
    # The line may never end: a bare LF is refused when it is seen.
    if b"\n" in data[at:]:
        raise Refusal(400, "a line of the chunked body ends with LF alone")
    return None
