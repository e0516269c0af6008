"""What the guard costs: reads by `_id` through it and straight, the latency it adds, idle memory.

    .venv/bin/python benchmarks/guard.py [--seconds 5] [--clients 32] [--idle 1000]

The database, the guard and the clients are processes of their own. The latency is
measured against a stub that answers each question at once. All share the machine:
read the ratios of one run.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bson
import psutil
import uvloop
from pymongo import AsyncMongoClient

from blackstart.clock import WallClock
from blackstart.guard.logins import Logins
from blackstart.guard.proxy.asked import Asked, Passage
from blackstart.guard.proxy.server import Proxy
from blackstart.guard.proxy.upstream import Upstream
from blackstart.guard.rules import Decision, Judge, Table
from blackstart.guard.sessions import Sessions
from blackstart.store import embedded_mongodb
from blackstart.wire import CommandError, Message, WireServer

DOCUMENTS = 10_000
PASSWORD = "correct horse battery"
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


class Rules:
    """The guard's judgement, without sign-off and audit."""

    def __init__(self) -> None:
        table = Table.load()
        self._judge = Judge(table)
        self._sessions = Sessions(WallClock(), table)

    async def admit(self, asked: Asked) -> Passage | None:
        self._sessions.use(asked.command, asked.client.login.name)
        if self._judge.judge(asked.command).decision is not Decision.PASS:
            raise CommandError("IllegalOperation", "held")
        return None


def guard_process(upstream: str, port: int, logins: str) -> None:
    async def serve() -> None:
        sock = socket.create_server(("127.0.0.1", port), backlog=1024)
        proxy = Proxy(
            Upstream(upstream),
            Logins(Path(logins)),
            Rules(),
            WallClock(),
            address=f"127.0.0.1:{port}",
        )
        await proxy.run(sock)

    uvloop.run(serve())


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


@contextmanager
def process(target: Callable[..., None], *arguments: Any, port: int) -> Iterator[int]:
    child = multiprocessing.get_context("spawn").Process(target=target, args=arguments, daemon=True)
    child.start()
    try:
        while socket.socket().connect_ex(("127.0.0.1", port)):
            time.sleep(0.05)
        yield child.pid or 0
    finally:
        child.terminate()
        child.join()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


async def rate(uri: str, clients: int, seconds: float) -> float:
    """Reads by `_id` a second, by so many at once."""
    async with AsyncMongoClient[dict[str, Any]](uri, maxPoolSize=clients) as client:
        numbers = client["bench"]["numbers"]
        done = 0
        end = time.perf_counter() + seconds

        async def read(first: int) -> None:
            nonlocal done
            number = first
            while time.perf_counter() < end:
                number = (number * 31 + 7) % DOCUMENTS
                await numbers.find_one({"_id": number})
                done += 1

        await asyncio.gather(*(read(first) for first in range(clients)))
        return done / seconds


async def latency_ms(uri: str, count: int = 3_000) -> float:
    """The median of reads one after the other."""
    async with AsyncMongoClient[dict[str, Any]](uri) as client:
        numbers = client["bench"]["numbers"]
        for _ in range(200):
            await numbers.find_one({"_id": 1})
        taken = []
        for _ in range(count):
            began = time.perf_counter()
            await numbers.find_one({"_id": 1})
            taken.append(time.perf_counter() - began)
        return statistics.median(taken) * 1_000


async def both(ask: Callable[[str], Awaitable[float]], direct: str, through: str) -> Any:
    """Alternately, so that a noisy neighbour is fair to both."""
    pairs = [(await ask(direct), await ask(through)) for _ in range(3)]
    return tuple(statistics.median(each) for each in zip(*pairs, strict=True))


async def idle_mb(uri: str, pid: int, count: int) -> float:
    """How much the guard grows by so many connections that are logged in and do nothing."""
    before = psutil.Process(pid).memory_info().rss
    async with AsyncMongoClient[dict[str, Any]](
        uri, minPoolSize=count, maxPoolSize=count, maxConnecting=8
    ) as client:
        await client.admin.command("ping")
        for _ in range(300):
            await asyncio.sleep(0.2)
            if len(psutil.Process(pid).net_connections("tcp")) >= count:
                break
        return (psutil.Process(pid).memory_info().rss - before) / 1e6


async def main(seconds: float, clients: int, idle: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Logins(Path(folder) / "logins.json").add("ada", PASSWORD)
        logins = str(Path(folder) / "logins.json")
        async with embedded_mongodb() as direct:
            async with AsyncMongoClient[dict[str, Any]](direct) as client:
                await client["bench"]["numbers"].insert_many(
                    {"_id": number, "text": "x" * 200} for number in range(DOCUMENTS)
                )
            port = free_port()
            with process(guard_process, direct, port, logins, port=port) as pid:
                uri = f"mongodb://ada:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{port}/"
                straight, guarded = await both(lambda uri: rate(uri, clients, seconds), direct, uri)
                print(f"reads by _id, {clients} at once      {straight:8.0f}/s direct")
                print(f"                               {guarded:8.0f}/s through the guard", end="")
                print(f"   {guarded / straight:.2f} of direct")
                grown = await idle_mb(uri, pid, idle)
                print(f"{idle} idle connections         {grown:8.1f} MB")
        stub, port = free_port(), free_port()
        with (
            process(stub_process, stub, port=stub),
            process(guard_process, f"mongodb://127.0.0.1:{stub}", port, logins, port=port),
        ):
            uri = f"mongodb://ada:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{port}/"
            straight, guarded = await both(
                latency_ms, f"mongodb://127.0.0.1:{stub}/?directConnection=true", uri
            )
            print(f"median latency, a fast stub    {straight:8.3f} ms direct")
            print(f"                               {guarded:8.3f} ms through the guard", end="")
            print(f"   {guarded - straight:.3f} ms added")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--idle", type=int, default=1_000)
    given = parser.parse_args()
    os.environ.setdefault("PYTHONHASHSEED", "0")
    asyncio.run(main(given.seconds, given.clients, given.idle))
