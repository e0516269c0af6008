"""Any bytes at the guard's door: no crash, no hang, no memory, and nothing unread goes on.

Streams of good, dangerous and damaged frames, cut into segments anywhere, from a
client that is logged in. The stub behind the guard keeps what it is sent: all of it
must be frames that can be read and that pass by the rules.
"""

from __future__ import annotations

import asyncio
import struct
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conftest import PATIENCE_S
from tests.guard.proxy.recording import Recorded, recording
from tests.guard.proxy.test_raw_ways import (
    DROP,
    FIND,
    HELD,
    REFUSED,
    body,
    compressed,
    frame,
    msg,
    query,
    sequence,
    zipped,
)

from blackstart.errors import WireError
from blackstart.wire import Message, parse
from blackstart.wire.limits import WireLimits

ONE = {"q": {"_id": 1}, "u": {"$set": {"a": 1}}}
PASSED = [
    msg(body(FIND)),
    msg(body(FIND), flags=1),
    msg(body({"ping": 1, "$db": "admin"})),
    msg(body({"update": "sites", "$db": "shop"}), sequence("updates", ONE)),
    msg(sequence("documents", {"_id": 1}), body({"insert": "sites", "$db": "shop"})),
    msg(body({"insert": "sites", "documents": [{"_id": 1}], "$db": "shop"}), flags=2),
    zipped(msg(body(FIND))),
    compressed(msg(body(FIND), flags=1), 0, msg(body(FIND), flags=1)[16:]),
    query("admin.$cmd", {"isMaster": 1}),
]
SEEDS = [*PASSED, *PASSED, *HELD.values(), *REFUSED.values()]
TOTAL_BYTES = 4_000_000
"""What one guard may hold for a stream of a few small frames, whatever they announce."""


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A frame with bytes changed, cut out or put in, and its length set right again or not."""
    whole = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(whole)))
        until = draw(st.integers(at, min(len(whole), at + 6)))
        whole = whole[:at] + draw(st.binary(max_size=6)) + whole[until:]
    if draw(st.booleans()) and len(whole) >= 4:
        whole = struct.pack("<i", len(whole)) + whole[4:]
    return whole


@st.composite
def rewrapped(draw: st.DrawFn) -> bytes:
    """A frame wrapped in OP_COMPRESSED, honestly or not, once or twice."""
    inner = draw(st.sampled_from(SEEDS))
    if len(inner) < 16:
        return inner
    for _ in range(draw(st.integers(1, 2))):
        size = draw(st.one_of(st.none(), st.integers(-(2**31), 2**31 - 1)))
        number = draw(st.sampled_from([0, 1, 2, 2, 3, 9]))
        packed = zlib.compress(inner[16:]) if number == 2 else inner[16:]
        inner = compressed(inner, number, packed, size=size)
    return inner


frames = st.one_of(
    st.sampled_from(SEEDS),
    damaged(),
    rewrapped(),
    st.binary(max_size=60),
    st.builds(frame, st.sampled_from([1, 2001, 2004, 2012, 2013, 7]), st.binary(max_size=60)),
)


@st.composite
def segments(draw: st.DrawFn) -> list[bytes]:
    """A stream of some frames, cut anywhere."""
    stream = b"".join(draw(st.lists(frames, min_size=1, max_size=5)))
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    return [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[asyncio.Runner, Recorded]]:
    """One guard for all examples, on a loop of its own."""
    with asyncio.Runner() as runner:
        place = recording(tmp_path_factory.mktemp("fuzz"))
        yield runner, runner.run(place.__aenter__())
        runner.run(place.__aexit__(None, None, None))


async def throw(recorded: Recorded, login: str, parts: list[bytes]) -> None:
    """All of it at the guard; then the next client is served as if nothing had been."""
    del recorded.stub.received[:]
    async with asyncio.timeout(PATIENCE_S), recorded.raw(login) as raw:
        await raw.send(*parts)
        await raw.rest()
    recorded.stub.check()
    if not login:
        assert recorded.stub.asked() == []


@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(parts=segments())
def test_nothing_unread_and_nothing_dangerous_goes_on(
    arena: tuple[asyncio.Runner, Recorded], parts: list[bytes]
) -> None:
    runner, recorded = arena
    runner.run(throw(recorded, "ada", parts))


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(parts=segments())
def test_a_stranger_reaches_nobody(
    arena: tuple[asyncio.Runner, Recorded], parts: list[bytes]
) -> None:
    runner, recorded = arena
    runner.run(throw(recorded, "", parts))


def test_after_all_that_the_guard_serves_and_holds_no_connection(
    arena: tuple[asyncio.Runner, Recorded],
) -> None:
    runner, recorded = arena
    parts = [each for name in HELD for each in (HELD[name], msg(body(FIND)))]
    runner.run(throw(recorded, "ada", parts))
    assert recorded.stub.asked() == ["find"] * len(HELD)
    assert all(len(str(details)) < 30_000 for _, details in recorded.lines.lines)


ANNOUNCED = {
    "a frame that never comes": [frame(2013, b"", 48_000_000), b"x" * 200_000],
    "a frame of a few bytes at a time": [frame(2013, b"", 40_000_000), *[b"x"] * 300],
    "a compressed frame of 40 MB that is none": [zipped(msg(body(DROP)), size=40_000_000)] * 5,
    "many frames behind a held one": [msg(body(DROP)), *[msg(body(FIND))] * 400],
}


@pytest.mark.parametrize("what", ANNOUNCED)
def test_what_is_announced_takes_no_memory(
    arena: tuple[asyncio.Runner, Recorded], what: str
) -> None:
    runner, recorded = arena
    del recorded.lines.lines[:]
    tracemalloc.start()
    try:
        runner.run(throw(recorded, "ada", ANNOUNCED[what]))
        sent = sum(map(len, ANNOUNCED[what]))
        assert tracemalloc.get_traced_memory()[1] < TOTAL_BYTES + 40 * sent
    finally:
        tracemalloc.stop()


@given(frames)
def test_a_frame_is_read_to_its_last_byte_or_not_at_all(data: bytes) -> None:
    """What was read accounts for every byte; there is no rest that nobody judged."""
    try:
        message = parse(data, WireLimits(message_bytes=100_000))
    except WireError:
        return
    assert message.raw == data
    if not isinstance(message, Message) or message.legacy or message.compressor is not None:
        return
    parts = [1 + len(message.body.raw)]
    for each in message.sequences:
        parts.append(1 + 4 + len(each.name.encode()) + 1)
        parts += (len(document.raw) for document in each.documents)
    checksum = 4 if message.checksummed else 0
    assert 16 + 4 + sum(parts) + checksum == len(data)
