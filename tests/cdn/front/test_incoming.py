"""Tests of a request's body while it waits for the node."""

from __future__ import annotations

from blackstart.cdn.front.incoming import Incoming
from blackstart.cdn.front.limits import Limits
from blackstart.cdn.front.requests import CHUNKED


class Source:
    def reconsider_reading(self) -> None:
        """Read on."""

    def send_continue(self) -> None:
        raise AssertionError("nobody expects it")


async def test_what_comes_in_small_chunks_waits_in_one_piece() -> None:
    incoming = Incoming(Source(), CHUNKED, Limits(), expects=False)
    assert incoming.feed(b"2\r\nab\r\n" * 1000 + b"2\r") is None
    assert await anext(incoming) == b"ab" * 1000
    assert incoming.feed(b"\ncd\r\n0\r\n\r\nGET") == b"GET"
    assert [piece async for piece in incoming] == [b"cd"]
