"""What the way to the origin costs a node, beside nginx as a proxy.

    .venv/bin/python benchmarks/hop.py [--seconds 5] [--bytes 1024] [--connections 32]

Needs `nginx` and `wrk` (Debian: nginx-light, wrk). One nginx is the origin; in front
of it runs one proxy after the other, each in one process: nginx with kept-alive
connections, and a bare asyncio server that passes each request to a hop. The last
column says how much of nginx's rate that is. A process under load, `wrk` and the
origin share the machine: read the ratios of one run.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import uvloop

from blackstart.cdn.hop import Breaker, GuardedHop, Hop, RetryingHop, SocketHop
from blackstart.cdn.message import Headers, Request, Response, whole_body
from blackstart.clock import WallClock
from blackstart.seed import Seed

CANDIDATES = ("socket", "guarded", "httpx2", "aiohttp")
# Debian keeps nginx where only root looks.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/errors crit;
events {{ worker_connections 1024; }}
http {{
  access_log off; default_type text/plain; keepalive_requests 1000000000;
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  {http}
}}
"""
ORIGIN = "server {{ listen 127.0.0.1:{port}; root {folder}; }}"
PROXY = """
  upstream origin {{ server 127.0.0.1:{origin}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
    }}
  }}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the hop to the origin beside nginx.")
    parser.add_argument("--seconds", type=int, default=5, help="for each proxy")
    parser.add_argument("--bytes", type=int, default=1024, help="of the body")
    parser.add_argument("--connections", type=int, default=32, help="of visitors")
    parser.add_argument("--serve", choices=CANDIDATES, help=argparse.SUPPRESS)
    parser.add_argument("--origin", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        uvloop.run(serve(arguments.serve, arguments.origin))
        return
    for program in ("nginx", "wrk"):
        if shutil.which(program, path=PATH) is None:
            sys.exit(f"benchmarks/hop.py needs {program}: apt-get install nginx-light wrk")
    compare(arguments.seconds, arguments.bytes, arguments.connections)


def compare(seconds: int, size: int, connections: int) -> None:
    with ExitStack() as stack:
        origin = stack.enter_context(nginx(ORIGIN, size))
        print(f"{'proxy':10} {'requests/s':>10} {'of nginx':>9}")
        with nginx(PROXY, size, origin=origin) as port:
            limit = rate(port, seconds, connections)
            print(f"{'nginx':10} {limit:10,.0f} {1:9.2f}")
        for name in CANDIDATES:
            if name in ("httpx2", "aiohttp") and importlib.util.find_spec(name) is None:
                print(f"{name:10} left out: it is not installed")
                continue
            with bare_proxy(name, origin) as port:
                reached = rate(port, seconds, connections)
            print(f"{name:10} {reached:10,.0f} {reached / limit:9.2f}", flush=True)


@contextmanager
def nginx(http: str, size: int, **ports: int) -> Iterator[int]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # Its worker may be another user.
        (folder / "page").write_bytes(b"x" * size)
        port = free_port()
        server = http.format(port=port, folder=folder, **ports)
        (folder / "conf").write_text(NGINX.format(folder=folder, http=server))
        with running(
            [shutil.which("nginx", path=PATH), "-c", str(folder / "conf"), "-e", "stderr"]
        ):
            wait_for(port)
            yield port


@contextmanager
def bare_proxy(name: str, origin: int) -> Iterator[int]:
    url = f"http://127.0.0.1:{origin}"
    with running([sys.executable, __file__, "--serve", name, "--origin", url]) as process:
        yield int(process.stdout.readline())


@contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port: int) -> None:
    for _ in range(500):
        with socket.socket() as probe:
            probe.settimeout(0.02)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
            time.sleep(0.02)
    sys.exit(f"nothing listens on port {port}")


def rate(port: int, seconds: int, connections: int) -> float:
    """Requests per second, after a second to warm up. Any answer but 200 ends the run."""
    command = ["wrk", "-t1", f"-c{connections}", f"http://127.0.0.1:{port}/page"]
    subprocess.run([*command, "-d1"], check=True, capture_output=True)
    said = subprocess.run(
        [*command, f"-d{seconds}"], check=True, capture_output=True, text=True
    ).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        sys.exit(said)
    return float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])


# --- the bare proxy, in a process of its own ---


async def serve(name: str, origin: str) -> None:
    hop = await open_hop(name, origin)
    server = await asyncio.get_running_loop().create_server(lambda: Front(hop), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def open_hop(name: str, origin: str) -> Hop:
    if name == "httpx2":
        return Httpx2Hop(origin)
    if name == "aiohttp":
        return AiohttpHop(origin)
    hop: Hop = SocketHop(origin)
    if name == "guarded":
        clock = WallClock()
        hop = RetryingHop(GuardedHop(hop, clock, Breaker()), clock, Seed(1))
    return hop


class Front(asyncio.Protocol):
    """As little of a server as `wrk` needs: one whole request without a body at a time."""

    def __init__(self, hop: Hop) -> None:
        self.hop = hop

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert data.endswith(b"\r\n\r\n")
        self.task = asyncio.get_running_loop().create_task(self.answer(data))

    async def answer(self, data: bytes) -> None:
        method, target, _ = data[: data.index(b"\r\n")].decode("latin-1").split(" ")
        response = await self.hop.send(Request(method, target, "a.example"))
        body = await whole_body(response.body)
        head = b"HTTP/1.1 %d OK\r\n%b\r\n" % (response.status, response.headers.packed)
        if not self.transport.is_closing():
            self.transport.write(head + body)


class Httpx2Hop:
    """As a client with all conveniences does it."""

    def __init__(self, origin: str) -> None:
        import httpx2

        self.client = httpx2.AsyncClient(base_url=origin)

    async def send(self, request: Request) -> Response:
        answer = await self.client.request(request.method, request.target)
        return Response(answer.status_code, Headers(answer.headers.multi_items()), answer.content)

    async def close(self) -> None:
        await self.client.aclose()


class AiohttpHop:
    """As a client made for speed does it."""

    def __init__(self, origin: str) -> None:
        import aiohttp

        self.session = aiohttp.ClientSession(
            origin, connector=aiohttp.TCPConnector(limit=0), auto_decompress=False
        )

    async def send(self, request: Request) -> Response:
        async with self.session.request(request.method, request.target) as answer:
            body = await answer.read()
            return Response(answer.status, Headers.from_raw(answer.raw_headers), body)

    async def close(self) -> None:
        await self.session.close()


if __name__ == "__main__":
    main()
