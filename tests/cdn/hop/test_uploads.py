"""Tests of a request's body on its way to the origin."""

import asyncio

import pytest

from blackstart.cdn.message import Headers, Request
from blackstart.errors import HopError, UsageError

MADE = b"HTTP/1.1 201 Made\r\nContent-Length: 0\r\n\r\n"
ENOUGH = b"HTTP/1.1 413 Too much\r\nContent-Length: 2\r\n\r\nno"


def post(body, length: int | None = None, method: str = "POST") -> Request:
    fields = [] if length is None else [("content-length", str(length))]
    return Request(method, "/", "a.example", Headers(fields), body)


class Heard:
    """A turn that notes all that comes on each connection, and answers each request."""

    def __init__(self, answer: bytes = MADE) -> None:
        self.answer = answer
        self.requests: list[bytes] = []

    async def __call__(self, line) -> None:
        while True:
            self.requests.append(await line.request())
            await line.say(self.answer)


@pytest.mark.parametrize(
    ("request_", "heard"),
    [
        (post(b"data"), b"content-length: 4\r\n\r\ndata"),
        (post(b"data", 99), b"content-length: 4\r\n\r\ndata"),
        (post(b""), b"host: a.example\r\ncontent-length: 0\r\n\r\n"),
        (post(b"", method="DELETE"), b"host: a.example\r\n\r\n"),
        (post(b"data", method="GET"), b"content-length: 4\r\n\r\ndata"),
    ],
)
async def test_a_body_of_bytes_goes_with_its_length(
    origin_of, request_: Request, heard: bytes
) -> None:
    turn = Heard()
    async with origin_of(turn) as (hop, _):
        assert (await hop.send(request_)).status == 201
        assert hop.pool.idle == 1
    assert turn.requests[0].endswith(heard)


@pytest.mark.parametrize(
    ("chunks", "length", "heard"),
    [
        ([b"ab", b"", b"c" * 17], None, b"transfer-encoding: chunked\r\n\r\n"
         b"2\r\nab\r\n11\r\nccccccccccccccccc\r\n0\r\n\r\n"),
        ([], None, b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        ([b"ab", b"", b"c"], 3, b"content-length: 3\r\n\r\nabc"),
        ([], 0, b"content-length: 0\r\n\r\n"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_body_that_streams_goes_as_announced_or_in_chunks(
    origin_of, stream, method: str, chunks: list[bytes], length: int | None, heard: bytes
) -> None:
    turn = Heard()
    async with origin_of(turn) as (hop, origin):
        for _ in range(2):
            request = post(stream(chunks), length, method)
            assert (await hop.send(request)).status == 201
        assert hop.pool.idle == 1
        assert len(origin.lines) == 1
    assert [request.endswith(b"host: a.example\r\n" + heard) for request in turn.requests] == [
        True,
        True,
    ]


@pytest.mark.parametrize("length", [None, 100])
async def test_a_body_that_breaks_off_never_ends_cleanly(origin_of, stream, length) -> None:
    heard = asyncio.get_running_loop().create_future()

    async def turn(line) -> None:
        await line.head()
        heard.set_result(await line.reader.read())

    body = stream([b"half"], error=ConnectionResetError("the visitor left"))
    async with origin_of(turn) as (hop, _):
        with pytest.raises(ConnectionResetError, match="the visitor left"):
            await hop.send(post(body, length))
        assert hop.pool.open == 0
        assert await heard in (b"", b"half", b"4\r\nhalf\r\n")


@pytest.mark.parametrize(("length", "reason"), [(3, "longer than the 3"), (5, "after 4 of 5")])
async def test_a_body_that_is_not_as_long_as_announced_is_an_error(
    origin_of, stream, length: int, reason: str
) -> None:
    async def turn(line) -> None:
        await line.head()
        assert len(await line.reader.read()) < 5

    async with origin_of(turn) as (hop, _):
        with pytest.raises(UsageError, match=reason):
            await hop.send(post(stream([b"ab", b"cd"]), length))
        assert hop.pool.open == 0


async def test_an_answer_before_the_end_of_the_body_ends_the_upload(origin_of) -> None:
    never = asyncio.Event()
    closed = False

    async def endless():
        nonlocal closed
        try:
            yield b"a"
            await never.wait()
        finally:
            for _ in range(3):
                await asyncio.sleep(0)  # Its end may take a while.
            closed = True

    async def turn(line) -> None:
        await line.head()
        await line.say(ENOUGH)
        await line.reader.read()

    body = endless()
    async with origin_of(turn) as (hop, _):
        response = await hop.send(post(body))
        assert (response.status, response.body) == (413, b"no")
        assert hop.pool.open == 0
        # Whoever owns the body may close it at once: nothing of the hop's still runs it.
        await body.aclose()
        assert closed


async def test_an_upload_may_go_on_beside_its_answer(origin_of, read) -> None:
    go_on = asyncio.Event()

    async def talk():
        yield b"a"
        await go_on.wait()
        yield b"b"

    async def turn(line) -> None:
        await line.head()
        await line.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await line.reader.readuntil(b"0\r\n\r\n")
        await line.say(b"3\r\nend\r\n0\r\n\r\n")
        await line.reader.read()

    async with origin_of(turn) as (hop, _):
        response = await hop.send(post(talk()))
        go_on.set()
        assert await read(response.body) == b"end"
        assert hop.pool.idle == 1


async def test_an_origin_that_does_not_read_holds_the_upload_back(origin_of) -> None:
    given = 0
    read_on = asyncio.Event()

    async def much():
        nonlocal given
        for _ in range(512):
            yield b"x" * 65536
            given += 1

    async def turn(line) -> None:
        await line.head()
        await read_on.wait()
        await line.reader.readexactly(512 * 65536)
        await line.say(MADE)
        await line.reader.read()

    async with origin_of(turn) as (hop, _):
        task = asyncio.create_task(hop.send(post(much(), 512 * 65536)))
        for _ in range(3000):
            await asyncio.sleep(0)
        assert 0 < given < 512
        read_on.set()
        assert (await task).status == 201
        assert given == 512


async def test_an_upload_that_is_cancelled_frees_its_place_and_its_body(origin_of) -> None:
    came = asyncio.Event()

    async def turn(line) -> None:
        await line.head()
        await line.reader.readuntil(b"a\r\n")
        came.set()
        assert b"0\r\n\r\n" not in await line.reader.read()

    async def endless():
        yield b"a"
        await asyncio.Event().wait()

    body = endless()
    async with origin_of(turn) as (hop, _):
        task = asyncio.create_task(hop.send(post(body)))
        await came.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert hop.pool.open == 0
        await body.aclose()


async def test_a_connection_that_breaks_ends_the_upload(origin_of) -> None:
    async def turn(line) -> None:
        await line.head()
        line.reset()

    async def endless():
        while True:
            yield b"x" * 65536
            await asyncio.sleep(0)

    body = endless()
    async with origin_of(turn) as (hop, _):
        with pytest.raises(HopError):
            await hop.send(post(body))
        assert hop.pool.open == 0
        await body.aclose()


# A body whose sender waits to be told to go on (RFC 9110 section 10.1.1)


class Held:
    """A body that is sent when it is first read, and not before."""

    expects = True

    def __init__(self) -> None:
        self.pieces = [b"da", b"ta"]

    def __aiter__(self) -> "Held":
        return self

    async def __anext__(self) -> bytes:
        self.expects = False
        if not self.pieces:
            raise StopAsyncIteration
        return self.pieces.pop(0)


async def test_a_body_is_held_back_until_the_origin_asks_for_it(origin_of) -> None:
    body = Held()

    async def turn(line) -> None:
        assert b"\r\nexpect: 100-continue\r\n" in await line.head()
        assert body.expects
        await line.say(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await line.reader.readexactly(4) == b"data"
        await line.say(MADE)
        await Heard()(line)

    async with origin_of(turn) as (hop, origin):
        assert (await hop.send(post(body, 4))).status == 201
        assert hop.pool.idle == 1
        assert (await hop.send(post(b"data"))).status == 201
        assert len(origin.lines) == 1


async def test_an_origin_that_knows_of_no_expectation_gets_the_body_in_the_end(
    origin_of, monkeypatch
) -> None:
    monkeypatch.setattr("blackstart.cdn.hop.exchange.PATIENCE_S", 0.01)
    async with origin_of(Heard()) as (hop, _):
        assert (await hop.send(post(Held(), 4))).status == 201


@pytest.mark.parametrize("answer", [ENOUGH, ENOUGH[:-1]])
async def test_an_origin_that_answers_at_once_gets_no_body(origin_of, answer, read) -> None:
    """Its connection is of no more use, as it may still wait for the body."""
    body, more = Held(), asyncio.Event()

    async def turn(line) -> None:
        await line.head()
        await line.say(answer)
        await more.wait()
        await line.say(ENOUGH[len(answer) :])
        assert await line.reader.read() == b""

    async with origin_of(turn) as (hop, _):
        response = await hop.send(post(body, 4))
        more.set()
        assert (response.status, await read(response.body)) == (413, b"no")
        assert body.expects
        assert hop.pool.open == 0
