"""Tests of what an origin's silence comes to, by where in the exchange it falls."""

import asyncio

import pytest

from blackstart.cdn.hop import UnansweredError, UnreachableError
from blackstart.cdn.message import Request
from blackstart.errors import HopError

GET = Request("GET", "/", "a.example")
SHORT_S = 0.03


def silent_after(data: bytes):
    """A turn that says so much and then nothing, until the hop closes the connection."""

    async def turn(line) -> None:
        await line.request()
        await line.say(data)
        assert await line.reader.read() == b""

    return turn


async def test_a_connection_that_does_not_come_about_is_given_up(origin_of) -> None:
    async def turn(line) -> None:
        while await line.reader.read(4096):
            pass  # It never answers the handshake.

    async with origin_of(turn, scheme="https", connect_timeout_s=SHORT_S) as (hop, _):
        with pytest.raises(UnreachableError, match=r"no connection within 0\.03 s"):
            await hop.send(GET)
        assert hop.pool.open == 0


@pytest.mark.parametrize(
    ("said", "limits", "reason"),
    [
        (b"", {"first_byte_timeout_s": SHORT_S}, r"no answer: nothing came for 0\.03 s"),
        (b"", {"read_timeout_s": SHORT_S}, r"no answer: nothing came for 0\.03 s"),
        (b"HTTP/1.1 200", {"read_timeout_s": SHORT_S, "first_byte_timeout_s": 9},
         r"no answer: nothing came for 0\.03 s"),
        (b"HTTP/1.1 103 Early\r\n\r\n", {"read_timeout_s": SHORT_S, "first_byte_timeout_s": 9},
         r"no answer: nothing came for 0\.03 s"),
        (b"", {"whole_timeout_s": SHORT_S}, r"no answer: it took longer than 0\.03 s in all"),
    ],
)  # fmt: skip
async def test_silence_where_a_head_is_due_is_no_answer(
    origin_of, said: bytes, limits: dict[str, float], reason: str
) -> None:
    async with origin_of(silent_after(said), **limits) as (hop, _):
        with pytest.raises(HopError, match=reason) as caught:
            await hop.send(GET)
        assert not isinstance(caught.value, (UnansweredError, UnreachableError))
        assert hop.pool.open == 0


@pytest.mark.parametrize("framing", [b"Content-Length: 9", b"Transfer-Encoding: chunked", b"X: y"])
async def test_silence_in_a_body_breaks_it_off(origin_of, framing: bytes) -> None:
    turn = silent_after(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n4\r\n")
    async with origin_of(turn, read_timeout_s=SHORT_S, first_byte_timeout_s=9) as (hop, _):
        response = await hop.send(GET)
        with pytest.raises(HopError, match=r"broke off its answer: nothing came for 0\.03 s"):
            async for _chunk in response.body:
                pass
        assert hop.pool.open == 0


async def test_a_body_that_drips_without_end_is_over_in_time(origin_of) -> None:
    async def turn(line) -> None:
        await line.request()
        await line.say(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await line.say(b"drip")
            await asyncio.sleep(0.005)

    async with origin_of(turn, read_timeout_s=9, whole_timeout_s=0.1) as (hop, _):
        with pytest.raises(HopError, match=r"longer than 0\.1 s in all"):
            async with asyncio.timeout(9):
                response = await hop.send(GET)
                async for _chunk in response.body:
                    pass
        assert hop.pool.open == 0


async def test_a_visitor_may_be_slower_than_an_origin_may_be(origin_of, read) -> None:
    body = b"x" * 600_000

    async def turn(line) -> None:
        await line.request()
        await line.say(b"HTTP/1.1 200 OK\r\nContent-Length: 600000\r\n\r\n" + body)
        await line.reader.read()

    async with origin_of(turn, read_timeout_s=0.1) as (hop, _):
        response = await hop.send(GET)
        for _ in range(1000):
            await asyncio.sleep(0)
        assert response.body._paused
        await asyncio.sleep(0.2)
        assert await read(response.body) == body
        assert hop.pool.idle == 1


async def test_an_origin_that_takes_no_upload_is_given_up(origin_of, stream) -> None:
    given_up = asyncio.Event()

    async def turn(line) -> None:
        await line.head()
        line.writer.transport.pause_reading()
        await given_up.wait()
        line.reset()

    upload = Request("POST", "/", "a.example", body=stream([b"x" * 2**20] * 64))
    async with origin_of(turn, read_timeout_s=SHORT_S, first_byte_timeout_s=9) as (hop, _):
        with pytest.raises(HopError, match=r"nothing came for 0\.03 s"):
            await hop.send(upload)
        assert hop.pool.open == 0
        assert upload.body.chunks
        given_up.set()


async def test_a_visitor_who_uploads_slowly_is_waited_for(origin_of) -> None:
    async def slowly():
        yield b"a"
        await asyncio.sleep(3 * SHORT_S)
        yield b"b"

    got: list[bytes] = []

    async def turn(line) -> None:
        got.append(await line.request())
        await line.say(b"HTTP/1.1 201 Made\r\nContent-Length: 0\r\n\r\n")
        await line.reader.read()

    async with origin_of(turn, read_timeout_s=SHORT_S, first_byte_timeout_s=SHORT_S) as (hop, _):
        assert (await hop.send(Request("POST", "/", "a.example", body=slowly()))).status == 201
    assert got[0].endswith(b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n")
