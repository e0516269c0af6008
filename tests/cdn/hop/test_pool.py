"""Tests of the connections: how many there are, who gets the next one, and when a place is free."""

import asyncio

import pytest

from blackstart.cdn.hop import CrowdedError, UnansweredError
from blackstart.cdn.message import Request, close_body
from blackstart.errors import HopError

GET = Request("GET", "/", "a.example")
PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage"
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"


class Gate:
    """A turn that notes each request's line and answers it once it is let."""

    def __init__(self, answer: bytes = PAGE) -> None:
        self.answer = answer
        self.asked: list[bytes] = []
        self.came = asyncio.Event()
        self.let = asyncio.Semaphore(0)

    async def __call__(self, line) -> None:
        while True:
            self.asked.append((await line.head()).split()[1])
            self.came.set()
            await self.let.acquire()
            await line.say(self.answer)


def asking(hop, *targets: str) -> list[asyncio.Task]:
    return [asyncio.create_task(hop.send(Request("GET", at, "a.example"))) for at in targets]


async def test_those_who_wait_for_a_connection_get_it_in_order(origin_of) -> None:
    gate = Gate()
    async with origin_of(gate, max_connections=1) as (hop, origin):
        tasks = asking(hop, "/1", "/2", "/3", "/4")
        await gate.came.wait()
        assert gate.asked == [b"/1"]
        assert (hop.pool.open, hop.pool.idle) == (1, 0)
        for _ in tasks:
            gate.let.release()
        await asyncio.gather(*tasks)
        assert gate.asked == [b"/1", b"/2", b"/3", b"/4"]
        assert len(origin.lines) == 1


async def test_there_are_never_more_connections_than_allowed(origin_of) -> None:
    gate = Gate()
    async with origin_of(gate, max_connections=3) as (hop, origin):
        tasks = asking(hop, *["/"] * 20)
        while len(gate.asked) < 3:
            await gate.came.wait()
            gate.came.clear()
        assert hop.pool.open == 3
        for _ in tasks:
            gate.let.release()
        await asyncio.gather(*tasks)
        assert len(origin.lines) == 3
        assert (hop.pool.open, hop.pool.idle) == (3, 3)


async def test_who_waits_too_long_for_a_connection_is_told_so(origin_of) -> None:
    gate = Gate()
    async with origin_of(gate, max_connections=1, connect_timeout_s=0.03) as (hop, _):
        first, second = asking(hop, "/1", "/2")
        with pytest.raises(CrowdedError, match="all 1 connections were in use"):
            await second
        gate.let.release()
        assert (await first).status == 200
        assert hop.pool.idle == 1


async def test_who_no_longer_waits_is_passed_over(origin_of) -> None:
    gate = Gate()
    async with origin_of(gate, max_connections=1) as (hop, _):
        first, second, third = asking(hop, "/1", "/2", "/3")
        await gate.came.wait()
        second.cancel()
        gate.let.release()
        gate.let.release()
        await asyncio.gather(first, third)
        assert gate.asked == [b"/1", b"/3"]
        assert second.cancelled()


async def test_a_connection_handed_to_one_who_just_left_is_not_lost(origin_of, answering) -> None:
    async with origin_of(answering(PAGE, PAGE), max_connections=1) as (hop, _):
        first = await hop.pool.take()
        waiting = asyncio.create_task(hop.pool.take())
        await asyncio.sleep(0)
        first.done(reusable=True, promised_s=None)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        assert (hop.pool.open, hop.pool.idle) == (1, 1)
        first.abort()
        assert hop.pool.open == 0


async def test_a_place_handed_to_one_who_just_left_is_not_lost(origin_of, answering) -> None:
    async with origin_of(answering(PAGE, PAGE), max_connections=1) as (hop, _):
        first = await hop.pool.take()
        waiting = asyncio.create_task(hop.pool.take())
        await asyncio.sleep(0)
        first.abort()
        waiting.cancel()
        await asyncio.wait([waiting])
        assert hop.pool.open == 0
        assert (await hop.send(GET)).body == b"page"


async def test_an_idle_connection_expires(origin_of) -> None:
    ended = asyncio.Event()

    async def turn(line) -> None:
        await line.request()
        await line.say(PAGE)
        assert await line.reader.read() == b""
        ended.set()

    async with origin_of(turn, idle_timeout_s=0.02) as (hop, _):
        await hop.send(GET)
        assert hop.pool.idle == 1
        await ended.wait()
        assert (hop.pool.open, hop.pool.idle) == (0, 0)


async def test_the_connection_that_was_used_last_is_used_next(origin_of) -> None:
    gate = Gate()
    async with origin_of(gate) as (hop, origin):
        tasks = asking(hop, "/1", "/2")
        while len(gate.asked) < 2:
            await gate.came.wait()
            gate.came.clear()
        for _ in range(5):
            gate.let.release()
        await asyncio.gather(*tasks)
        last = hop.pool._idle[-1]
        for _ in range(3):
            await hop.send(GET)
            assert hop.pool._idle[-1] is last
        assert len(origin.lines) == 2


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_a_kept_connection_that_the_origin_just_closed_is_replaced(
    origin_of, answering, method: str
) -> None:
    async def closes(line) -> None:
        await line.request()
        await line.say(b"HTTP/1.1 204 No\r\n\r\n")
        await line.request()

    yes = answering(b"HTTP/1.1 205 Yes\r\nContent-Length: 0\r\n\r\n")
    async with origin_of(closes, yes, rest_s=-1) as (hop, origin):
        await hop.send(GET)
        assert (await hop.send(Request(method, "/", "a.example", body=b"x"))).status == 205
        assert len(origin.lines) == 2
        assert hop.pool.open == 1


async def test_what_may_not_be_asked_twice_is_not_asked_again(origin_of, answering) -> None:
    async def closes(line) -> None:
        await line.request()
        await line.say(b"HTTP/1.1 204 No\r\n\r\n")
        await line.request()

    async with origin_of(closes, answering(PAGE), rest_s=-1) as (hop, origin):
        await hop.send(GET)
        with pytest.raises(UnansweredError):
            await hop.send(Request("POST", "/", "a.example", body=b"x"))
        assert len(origin.lines) == 1
        assert hop.pool.open == 0


async def test_a_connection_that_was_promised_to_live_on_is_not_replaced(origin_of) -> None:
    """The origin closed it because of this request: asking again may do harm."""

    async def closes(line) -> None:
        await line.request()
        await line.say(b"HTTP/1.1 204 No\r\nKeep-Alive: timeout=5, max=9\r\n\r\n")
        await line.request()

    async with origin_of(closes, rest_s=-1) as (hop, origin):
        await hop.send(GET)
        assert hop.pool.idle == 1
        with pytest.raises(UnansweredError):
            await hop.send(GET)
        assert len(origin.lines) == 1


@pytest.mark.parametrize(
    ("field", "kept"),
    [("timeout=1", 0), ("max=5, timeout=0", 0), ("timeout=2", 1), ("5", 1), ("xtimeout=1", 1)],
)
async def test_a_connection_is_not_kept_as_long_as_the_origin_keeps_it(
    origin_of, answering, field, kept
) -> None:
    said = f"HTTP/1.1 204 No\r\nKeep-Alive: {field}\r\n\r\n".encode()
    async with origin_of(answering(said)) as (hop, _):
        await hop.send(GET)
        assert hop.pool.idle == kept


async def test_a_busy_connection_that_is_closed_is_not_replaced(origin_of, answering) -> None:
    async def closes(line) -> None:
        await line.request()
        await line.say(b"HTTP/1.1 204 No\r\n\r\n")
        await line.request()

    async with origin_of(closes, answering(PAGE)) as (hop, origin):
        await hop.send(GET)
        with pytest.raises(UnansweredError):
            await hop.send(GET)
        assert len(origin.lines) == 1


async def test_a_new_connection_that_is_closed_is_not_tried_again(origin_of) -> None:
    async def closes(line) -> None:
        await line.request()

    async with origin_of(closes) as (hop, origin):
        with pytest.raises(UnansweredError):
            await hop.send(GET)
        assert len(origin.lines) == 1


async def test_a_kept_connection_that_broke_within_its_answer_is_not_tried_again(
    origin_of,
) -> None:
    async def breaks(line) -> None:
        await line.request()
        await line.say(PAGE)
        await line.request()
        await line.say(b"HTTP/1.1 200")

    async with origin_of(breaks) as (hop, origin):
        await hop.send(GET)
        with pytest.raises(HopError) as caught:
            await hop.send(GET)
        assert not isinstance(caught.value, UnansweredError)
        assert len(origin.lines) == 1


async def test_a_request_that_is_cancelled_frees_its_place(origin_of) -> None:
    gate = Gate()
    async with origin_of(gate, max_connections=1) as (hop, origin):
        first, second = asking(hop, "/1", "/2")
        await gate.came.wait()
        first.cancel()
        gate.let.release()
        gate.let.release()
        assert (await second).body == b"page"
        assert len(origin.lines) == 2


async def test_a_connection_under_way_is_given_up_with_its_request(origin_of) -> None:
    came, ended = asyncio.Event(), asyncio.Event()

    async def turn(line) -> None:
        came.set()
        while await line.reader.read(4096):
            pass  # It never answers the handshake.
        ended.set()

    async with origin_of(turn, scheme="https") as (hop, _):
        (task,) = asking(hop, "/")
        await came.wait()
        assert hop.pool.open == 1
        task.cancel()
        await asyncio.wait([task])
        assert hop.pool.open == 0
        await ended.wait()


async def test_a_body_whose_reader_is_cancelled_frees_its_place(origin_of, answering) -> None:
    async with origin_of(answering(HALF), answering(PAGE), max_connections=1) as (hop, _):
        response = await hop.send(GET)
        assert await anext(response.body) == b"half"
        reading = asyncio.ensure_future(anext(response.body))
        (waiting,) = asking(hop, "/2")
        await asyncio.sleep(0)
        reading.cancel()
        assert (await waiting).body == b"page"


async def test_a_body_that_is_closed_early_frees_its_place(origin_of, answering) -> None:
    async with origin_of(answering(HALF), answering(PAGE), max_connections=1) as (hop, _):
        response = await hop.send(GET)
        (waiting,) = asking(hop, "/2")
        await asyncio.sleep(0)
        assert not waiting.done()
        await close_body(response.body)
        assert (await waiting).body == b"page"


async def test_a_body_that_nobody_reads_is_not_read_from_the_origin(origin_of, read) -> None:
    said = 0
    total = 32 * 2**20

    async def turn(line) -> None:
        nonlocal said
        await line.request()
        await line.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        while said < total:
            await line.say(b"x" * 65536)
            said += 65536
        await line.reader.read()

    async with origin_of(turn) as (hop, _):
        response = await hop.send(GET)
        for _ in range(3000):
            await asyncio.sleep(0)
        assert said < total
        assert response.body._buffered < 2**20
        assert len(await read(response.body)) == total
        assert hop.pool.idle == 1


async def test_closing_the_hop_breaks_off_what_is_under_way(origin_of, answering) -> None:
    async with origin_of(answering(HALF)) as (hop, _):
        response = await hop.send(GET)
        assert await anext(response.body) == b"half"
        reading = asyncio.ensure_future(anext(response.body))
        await asyncio.sleep(0)
        await hop.close()
        with pytest.raises(HopError, match="the hop was closed"):
            await reading
        assert hop.pool.open == 0


async def test_closing_the_hop_ends_the_waiting_for_a_connection(origin_of) -> None:
    gate = Gate()
    async with origin_of(gate, max_connections=1) as (hop, origin):
        tasks = asking(hop, "/1", "/2")
        await gate.came.wait()
        await hop.close()
        for task in tasks:
            with pytest.raises(HopError, match=r"the hop (is|was) closed"):
                await task
        assert len(origin.lines) == 1
