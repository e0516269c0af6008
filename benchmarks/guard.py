"""What the guard costs: reads by `_id` through it and straight, the latency it adds, idle memory.

    .venv/bin/python benchmarks/guard.py [--seconds 3] [--rounds 5] [--clients 32] [--idle 1000]

The guard is the real one, `blackstart guard` with its audit trail. Reads are asked for by two
processes that share the clients: by PyMongo, as people do, and by a lean client that sends
ready frames over raw sockets, so that the client is not what limits. The latency is measured
with the lean client against a stub that answers each question at once. Direct and guarded take
turns, a short while each. All share the machine: read the ratios of one run.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import bson
import psutil
import uvloop
from pymongo import AsyncMongoClient

from blackstart.guard.logins import Logins
from blackstart.guard.proxy.upstream import Upstream, UpstreamConnection
from blackstart.store import embedded_mongodb
from blackstart.wire import Message, WireServer, encode_command, parse_message

DOCUMENTS = 10_000
GENERATORS = 2
PASSWORD = "correct horse battery"
PROGRAM = Path(sys.executable).with_name("blackstart")
HELLO = {
    "isWritablePrimary": True,
    "minWireVersion": 0,
    "maxWireVersion": 21,
    "maxBsonObjectSize": 16 * 1024 * 1024,
    "maxMessageSizeBytes": 48_000_000,
    "maxWriteBatchSize": 100_000,
    "logicalSessionTimeoutMinutes": 30,
    "ok": 1.0,
}


@dataclass(frozen=True)
class Guard:
    """A running guard: where it is, and its process."""

    uri: str
    process: psutil.Process

    def cpu_s(self) -> float:
        used = self.process.cpu_times()
        return used.user + used.system


@contextmanager
def running_guard(upstream: str, folder: Path) -> Iterator[Guard]:
    Logins(folder / "logins.json").add("ada", PASSWORD)
    command = ["guard", "--listen", "127.0.0.1:0", "--upstream", upstream, "--data", str(folder)]
    child = subprocess.Popen(
        [PROGRAM, *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert child.stdout is not None
        address = child.stdout.readline().rpartition("mongodb://")[2].strip().strip("/")
        who = f"ada:{PASSWORD.replace(' ', '%20')}"
        yield Guard(f"mongodb://{who}@{address}/", psutil.Process(child.pid))
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait()


def stub_process(port: int) -> None:
    answer = bson.encode(
        {"cursor": {"firstBatch": [{"_id": 1}], "id": 0, "ns": "bench.numbers"}, "ok": 1.0}
    )

    async def handle(message: Message) -> list[Any]:
        return [HELLO if message.command in ("hello", "isMaster", "ismaster") else answer]

    async def serve() -> None:
        server = WireServer(lambda peer: handle)
        await server.run(socket.create_server(("127.0.0.1", port)))

    uvloop.run(serve())


def question(number: int) -> bytes:
    """A read by `_id` as PyMongo sends it, with a session."""
    session = {"id": bson.Binary(number.to_bytes(16, "big"), 4)}
    find = {"find": "numbers", "filter": {"_id": number}, "limit": 1, "singleBatch": True}
    command = find | {"lsid": session, "$db": "bench"}
    return encode_command(command, request_id=number + 1)


class Lean:
    """Connections that send ready frames and look at the length of each answer."""

    def __init__(self, uri: str, clients: int) -> None:
        self._upstream = Upstream(uri)
        self._clients = clients
        self._open: list[UpstreamConnection] = []
        self._frames = [question(number) for number in range(500)]

    async def start(self) -> None:
        self._open = [await self._upstream.connect() for _ in range(self._clients)]
        await self._open[0].send(self._frames[0])
        answer = parse_message(await self._open[0].receive()).body.decode()
        assert len(answer["cursor"]["firstBatch"]) == 1, answer

    async def reads(self, seconds: float) -> int:
        end = time.perf_counter() + seconds

        async def ask(connection: UpstreamConnection, number: int) -> int:
            done = 0
            while time.perf_counter() < end:
                number = (number * 31 + 7) % len(self._frames)
                await connection.send(self._frames[number])
                assert len(await connection.receive()) > 80
                done += 1
            return done

        return sum(await asyncio.gather(*(ask(each, n) for n, each in enumerate(self._open))))

    async def latency_ms(self, count: int) -> float:
        (connection,) = self._open
        taken = []
        for number in range(count):
            began = time.perf_counter()
            await connection.send(self._frames[number % len(self._frames)])
            await connection.receive()
            taken.append(time.perf_counter() - began)
        return statistics.median(taken) * 1_000


class Driver:
    """PyMongo, as a program would use it."""

    def __init__(self, uri: str, clients: int) -> None:
        self._client = AsyncMongoClient[dict[str, Any]](uri, maxPoolSize=clients)
        self._clients = clients

    async def start(self) -> None:
        assert await self._client["bench"]["numbers"].find_one({"_id": 1})

    async def reads(self, seconds: float) -> int:
        end = time.perf_counter() + seconds
        numbers = self._client["bench"]["numbers"]

        async def ask(number: int) -> int:
            done = 0
            while time.perf_counter() < end:
                number = (number * 31 + 7) % DOCUMENTS
                assert await numbers.find_one({"_id": number})
                done += 1
            return done

        return sum(await asyncio.gather(*map(ask, range(self._clients))))


KINDS: dict[str, Callable[[str, int], Lean | Driver]] = {"lean": Lean, "PyMongo": Driver}


def generator(kind: str, uris: Sequence[str], clients: int, orders: Connection) -> None:
    """Reads from one of the databases for a while, whenever it is told to."""

    async def work() -> None:
        sources = [KINDS[kind](uri, clients) for uri in uris]
        for source in sources:
            await source.start()
        orders.send(0)
        while (order := await asyncio.to_thread(orders.recv)) is not None:
            number, seconds = order
            orders.send(await sources[number].reads(seconds))

    uvloop.run(work())


@contextmanager
def generators(kind: str, uris: Sequence[str], clients: int) -> Iterator[list[Connection]]:
    context = multiprocessing.get_context("spawn")
    ends, children = [], []
    for _ in range(GENERATORS):
        mine, its = context.Pipe()
        given = (kind, uris, clients // GENERATORS, its)
        children.append(context.Process(target=generator, args=given, daemon=True))
        children[-1].start()
        ends.append(mine)
    try:
        for end in ends:
            end.recv()
        yield ends
    finally:
        for end, child in zip(ends, children, strict=True):
            end.send(None)
            child.join()


def compare_reads(kind: str, direct: str, guard: Guard, clients: int, given: Any) -> None:
    """Direct and guarded in turns; prints the median of both, and of the ratio of each round."""
    rates: list[tuple[float, float]] = []
    used, done = 0.0, 0

    def rate(ends: list[Connection], number: int) -> float:
        for end in ends:
            end.send((number, given.seconds))
        return sum(end.recv() for end in ends) / float(given.seconds)

    with generators(kind, [direct, guard.uri], clients) as ends:
        for _ in range(given.rounds):
            straight, before = rate(ends, 0), guard.cpu_s()
            guarded = rate(ends, 1)
            rates.append((straight, guarded))
            used += guard.cpu_s() - before
            done += int(guarded * given.seconds)
    straight, guarded = (statistics.median(each) for each in zip(*rates, strict=True))
    ratios = sorted(through / plain for plain, through in rates)
    print(f"reads by _id, {kind}, {clients} clients")
    print(f"  direct {straight:.0f}/s, through the guard {guarded:.0f}/s")
    print(
        f"  ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}),"
        f" CPU of the guard {used / max(done, 1) * 1e6:.0f} us a read",
        flush=True,
    )


async def compare_latency(direct: str, guarded: str, rounds: int) -> None:
    sources = [Lean(direct, 1), Lean(guarded, 1)]
    for source in sources:
        await source.start()
        await source.latency_ms(500)
    pairs = [[await source.latency_ms(1_000) for source in sources] for _ in range(rounds)]
    straight, through = (statistics.median(each) for each in zip(*pairs, strict=True))
    added = statistics.median(after - before for before, after in pairs)
    print("median latency against a fast stub, one client")
    print(f"  direct {straight:.3f} ms, through the guard {through:.3f} ms, added {added:.3f} ms")


async def idle_mb(guard: Guard, count: int) -> None:
    """How much the guard grows by so many connections that are logged in and do nothing."""
    before = guard.process.memory_info().rss
    idle = Lean(guard.uri, count)
    await idle.start()
    grown = (guard.process.memory_info().rss - before) / 1e6
    print(f"{count} idle connections that are logged in")
    print(f"  {grown:.1f} MB more, {before / 1e6:.0f} MB before", flush=True)


async def compare_on_database(folder: Path, given: Any) -> None:
    async with embedded_mongodb() as direct:
        async with AsyncMongoClient[dict[str, Any]](direct) as client:
            await client["bench"]["numbers"].insert_many(
                {"_id": number, "text": "x" * 200} for number in range(DOCUMENTS)
            )
        with running_guard(direct, folder / "one") as guard:
            await idle_mb(guard, given.idle)
            for kind in KINDS:
                await asyncio.to_thread(compare_reads, kind, direct, guard, given.clients, given)


@contextmanager
def running_stub() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    child = multiprocessing.get_context("spawn").Process(target=stub_process, args=(port,))
    child.start()
    try:
        while socket.socket().connect_ex(("127.0.0.1", port)):
            time.sleep(0.05)
        yield f"mongodb://127.0.0.1:{port}/?directConnection=true"
    finally:
        child.terminate()
        child.join()


async def compare_on_stub(folder: Path, given: Any) -> None:
    with running_stub() as stub, running_guard(stub, folder / "two") as guard:
        await compare_latency(stub, guard.uri, given.rounds)
        if given.stub_reads:
            await asyncio.to_thread(compare_reads, "lean", stub, guard, given.clients, given)


async def main(given: Any) -> None:
    with tempfile.TemporaryDirectory() as name:
        if given.only != "stub":
            await compare_on_database(Path(name), given)
        if given.only != "database":
            await compare_on_stub(Path(name), given)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--idle", type=int, default=1_000)
    parser.add_argument("--only", choices=["database", "stub"])
    parser.add_argument("--stub-reads", action="store_true", help="Reads against the stub, too.")
    os.environ.setdefault("PYTHONHASHSEED", "0")
    uvloop.run(main(parser.parse_args()))
