"""Hits from memory, beside a bare handler on the same server that sends the same bytes.

Needs `wrk`. Run: .venv/bin/python benchmarks/cdn_hits.py [--seconds 4] [--bytes 1024]
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import shutil
import socket
import subprocess
import sys

import uvloop

from blackstart.cdn.app import NodeApp
from blackstart.cdn.front import Front
from blackstart.cdn.message import Headers, Request, Response
from blackstart.cdn.node import Node
from blackstart.cdn.storage.cache import Cache
from blackstart.clock import WallClock

FIELDS = (
    ("content-type", "text/html; charset=utf-8"),
    ("cache-control", "public, max-age=0, must-revalidate"),
    ("cdn-cache-control", "public, max-age=31536000"),
    ("cache-tag", "site-5899f2f1d3ad9b3a3a3a3a3a,deploy-5899f2f1d3ad9b3a3a3a3a3b"),
    ("etag", '"2fd4e1c67a2d28fced849ee1bb76e7391b93eb12"'),
    ("accept-ranges", "bytes"),
)


class Bare:
    """Sends the bytes of a hit, whatever is asked."""

    def __init__(self, response: Response) -> None:
        self._response = response

    def quick(self, request: Request) -> Response:
        return self._response

    async def answer(self, request: Request) -> Response:
        return self._response


class Once:
    """A hop that has one page."""

    def __init__(self, body: bytes) -> None:
        fields = (*FIELDS, ("content-length", str(len(body))))
        self._response = Response(200, Headers(fields), body)

    async def send(self, request: Request) -> Response:
        return self._response

    async def close(self) -> None:
        pass


def host_of(sock: socket.socket) -> str:
    """What a Host field says of a server on this socket."""
    return f"127.0.0.1:{sock.getsockname()[1]}"


async def serve(kind: str, size: int, sock: socket.socket) -> None:
    clock = WallClock()
    node = Node(clock, Once(b"x" * size), Cache(clock), name="bench")
    app = NodeApp(node, None)
    page = Request("GET", "/", host_of(sock))
    await app.answer(page)
    held = app.quick(page)
    assert held is not None
    handler = app if kind == "node" else Bare(held)
    await Front(handler, clock).run(sock, 0.1)


def server(kind: str, size: int, sock: socket.socket) -> None:
    uvloop.run(serve(kind, size, sock))


def measure(kind: str, size: int, seconds: int) -> float:
    """Requests a second."""
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    process = multiprocessing.get_context("fork").Process(target=server, args=(kind, size, sock))
    process.start()
    url = f"http://{host_of(sock)}/"
    sock.close()
    try:
        command = ["wrk", "-t1", "-c32", f"-d{seconds}", url]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    finally:
        process.kill()
        process.join()
    assert "Non-2xx" not in printed, printed
    found = re.search(r"Requests/sec:\s+([\d.]+)", printed)
    assert found is not None, printed
    return float(found[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--bytes", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("error: this needs wrk (Debian package wrk)")
    print(f"{'round':>5} {'bare':>10} {'node':>10} {'ratio':>6}   requests/s, {given.bytes} bytes")
    ratios = []
    for number in range(1, given.rounds + 1):
        bare = measure("bare", given.bytes, given.seconds)
        node = measure("node", given.bytes, given.seconds)
        ratios.append(node / bare)
        print(f"{number:>5} {bare:>10,.0f} {node:>10,.0f} {node / bare:>6.2f}")
    print(f"median ratio {sorted(ratios)[len(ratios) // 2]:.2f} (aim: 0.8)")


if __name__ == "__main__":
    main()
