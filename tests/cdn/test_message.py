"""Tests of HTTP messages as plain values."""

import asyncio
import sys
from collections.abc import AsyncIterator

import pytest

from blackstart.cdn.message import Headers, Relay, close_body, gather_body, pieces


def test_a_header_is_found_whatever_its_case() -> None:
    headers = Headers([("ETag", '"1"')])
    assert headers.get("etag") == headers.get("ETAG") == '"1"'
    assert "Etag" in headers
    assert headers.get("age") is None


def test_a_repeated_header_reads_as_one_list() -> None:
    headers = Headers([("Cache-Tag", "a"), ("x", "y"), ("cache-tag", "b")])
    assert headers.joined("cache-tag") == "a, b"


def test_headers_survive_the_trip_to_bytes_and_back() -> None:
    headers = Headers([("Set-Cookie", "a=1"), ("set-cookie", "b=\xff")])
    assert Headers.from_raw(headers.raw()) == headers


def test_fields_of_one_connection_are_removed_and_so_are_those_it_names() -> None:
    headers = Headers(
        [("Connection", "close, X-Private"), ("x-private", "1"), ("TE", "trailers"), ("x", "y")]
    )
    assert headers.end_to_end() == Headers([("x", "y")])


async def test_a_short_stream_is_gathered_whole(stream) -> None:
    assert await gather_body(stream([b"a", b"b"]), 2) == b"ab"


async def test_a_long_stream_loses_nothing_to_the_attempt_to_gather_it(stream) -> None:
    source = stream([b"aa", b"bb", b"cc"])
    body = await gather_body(source, 3)
    assert not isinstance(body, bytes)
    assert source.chunks == [b"cc"], "no more may be read ahead than the limit asks for"
    assert [chunk async for chunk in body] == [b"aa", b"bb", b"cc"]


async def test_a_stream_that_breaks_off_while_gathered_is_closed(stream) -> None:
    source = stream([b"a"], error=OSError("gone"))
    with pytest.raises(OSError, match="gone"):
        await gather_body(source, 10)
    assert source.closed


async def test_giving_up_a_relay_closes_what_is_behind_it(stream) -> None:
    source = stream([b"a"])
    await close_body(Relay(source))
    assert source.closed


async def test_a_chunk_is_let_go_of_while_the_next_is_awaited() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield chunks.pop()
        await asyncio.Event().wait()

    chunks = [bytes(1000)]
    before = sys.getrefcount(chunks[0])
    passed_on = pieces(body())
    chunk = await anext(passed_on)
    waiting = asyncio.ensure_future(anext(passed_on))
    await asyncio.sleep(0)
    assert sys.getrefcount(chunk) == before
    waiting.cancel()
