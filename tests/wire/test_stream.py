"""Whole frames over real sockets, however their bytes arrive; on asyncio's loop and on uvloop."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from blackstart.errors import WireError
from blackstart.wire import FrameStream, WireLimits
from blackstart.wire.stream import AHEAD_BYTES

Loop = Callable[[], asyncio.AbstractEventLoop]
Story = Callable[[FrameStream, socket.socket], Awaitable[None]]
LIMITS = WireLimits(message_bytes=4 * 1024 * 1024)
PATIENCE_S = 30.0


def frame(body: bytes) -> bytes:
    return struct.pack("<iiii", 16 + len(body), 1, 0, 2013) + body


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def tell(request: pytest.FixtureRequest) -> Callable[[Story], None]:
    """Runs a story with a stream and the bare socket at its other end."""

    async def both(story: Story) -> None:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = server.getsockname()
            _, stream = await loop.create_connection(lambda: FrameStream(LIMITS), *address)
            peer, _ = server.accept()
        peer.setblocking(False)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await story(stream, peer)
        finally:
            peer.close()
            stream.abort()
            await stream.wait_closed()

    def run(story: Story) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(both(story))

    return run


Tell = Callable[[Story], None]


def test_frames_are_whole_however_their_bytes_are_cut(tell: Tell) -> None:
    frames = [frame(b"one"), frame(b""), frame(b"x" * 300_000), frame(b"last")]
    data = b"".join(frames)

    async def story(stream: FrameStream, peer: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        for size in (1, 7, 16, 19, 100_000, len(data)):
            part = data if size > 19 else b"".join(frames[:2]) + frames[3]
            expected = frames if size > 19 else [*frames[:2], frames[3]]

            async def send(size: int = size, part: bytes = part) -> None:
                for at in range(0, len(part), size):
                    await loop.sock_sendall(peer, part[at : at + size])
                    await asyncio.sleep(0)

            sending = asyncio.ensure_future(send())
            assert [await stream.receive() for _ in expected] == expected, size
            await sending

    tell(story)


def test_a_peer_that_closes_between_two_frames_is_no_mistake(tell: Tell) -> None:
    async def story(stream: FrameStream, peer: socket.socket) -> None:
        peer.send(frame(b"one"))
        peer.shutdown(socket.SHUT_WR)
        assert await stream.receive() == frame(b"one")
        assert await stream.receive() is None
        assert stream.is_gone

    tell(story)


def test_what_was_asked_is_answered_to_one_that_will_ask_no_more(tell: Tell) -> None:
    async def story(stream: FrameStream, peer: socket.socket) -> None:
        peer.shutdown(socket.SHUT_WR)
        assert await stream.receive() is None
        await stream.send(frame(b"answer"))
        assert await asyncio.get_running_loop().sock_recv(peer, 100) == frame(b"answer")

    tell(story)


@pytest.mark.parametrize("sent", [frame(b"cut off")[:-1], frame(b"")[:15], b"\x20"])
def test_a_frame_that_is_cut_off_is_none(tell: Tell, sent: bytes) -> None:
    async def story(stream: FrameStream, peer: socket.socket) -> None:
        peer.send(sent)
        peer.shutdown(socket.SHUT_WR)
        with pytest.raises(WireError, match="ended within"):
            await stream.receive()

    tell(story)


@pytest.mark.parametrize("length", [-1, 0, 15, LIMITS.message_bytes + 1, 2**31 - 1])
def test_a_length_out_of_bounds_is_refused_by_the_header_alone(tell: Tell, length: int) -> None:
    async def story(stream: FrameStream, peer: socket.socket) -> None:
        peer.send(struct.pack("<iiii", length, 1, 0, 2013))
        with pytest.raises(WireError, match="announces"):
            await stream.receive()

    tell(story)


def test_a_peer_that_sends_faster_than_it_is_read_has_to_wait(tell: Tell) -> None:
    async def story(stream: FrameStream, peer: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        one = frame(b"x" * 50_000)
        flood = asyncio.ensure_future(loop.sock_sendall(peer, one * 1_000))
        assert await stream.receive() == one
        for _ in range(500):
            await asyncio.sleep(0)
        assert stream.waiting_bytes < AHEAD_BYTES + 1_000_000, "no 50 MB are held"
        assert not flood.done()
        assert [await stream.receive() for _ in range(999)] == [one] * 999
        await flood

    tell(story)


def test_sending_waits_for_a_peer_that_does_not_read(tell: Tell) -> None:
    async def story(stream: FrameStream, peer: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        big = frame(b"x" * 4_000_000)
        sending = asyncio.ensure_future(asyncio.wait([asyncio.ensure_future(stream.send(big * 5))]))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not sending.done()
        received = 0
        while received < 5 * len(big):
            received += len(await loop.sock_recv(peer, 1 << 20))
        await sending

    tell(story)


def test_sending_to_one_that_is_gone_ends(tell: Tell) -> None:
    async def story(stream: FrameStream, peer: socket.socket) -> None:
        sending = asyncio.ensure_future(stream.send(frame(b"x" * 4_000_000) * 5))
        await asyncio.sleep(0)
        peer.close()
        with pytest.raises(ConnectionError):
            await sending
        with pytest.raises(ConnectionError):
            await stream.send(frame(b"more"))

    tell(story)
