"""Bodies over real sockets: far too long, or cut off in the middle."""

from __future__ import annotations

import hashlib
import json
import select
import socket
import struct
from collections.abc import Callable, Iterator
from http.client import HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

MIB = 1024 * 1024
LONG = 100 * MIB
JSON_LIMIT = 32 * MIB
SLACK = 8 * MIB
"""What the sockets' buffers hold, and what a process needs to answer anything at all."""

PIECE = b" " * 65_536
TIMEOUT_S = 30

Until = Callable[[Callable[[], Any], str], Any]


def control_process(up: Any) -> psutil.Process:
    """The process of the control plane, found by the port that it listens on."""
    port = urlsplit(up.control).port
    (found,) = (
        process
        for process in up.family
        if any(
            each.status == psutil.CONN_LISTEN and each.laddr.port == port
            for each in process.net_connections(kind="inet")
        )
    )
    assert isinstance(found, psutil.Process)
    return found


def request_head(up: Any, method: str, path: str, *fields: str) -> bytes:
    lines = [
        f"{method} /api/v1{path} HTTP/1.1",
        f"Host: {urlsplit(up.control).netloc}",
        f"Authorization: {up.bearer['Authorization']}",
        *fields,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


@pytest.fixture
def connect(up: Any) -> Iterator[Callable[[], socket.socket]]:
    opened: list[socket.socket] = []

    def connect() -> socket.socket:
        where = urlsplit(up.control)
        opened.append(socket.create_connection((where.hostname, where.port), timeout=TIMEOUT_S))
        return opened[-1]

    yield connect
    for each in opened:
        each.close()


class Long:
    """A client that sends spaces until it is answered or has sent 100 MB."""

    def __init__(self, up: Any, sock: socket.socket, how: str) -> None:
        self.sent = 0
        self.memory = 0
        chunked = how == "chunked"
        field = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {LONG}"
        piece = b"%x\r\n%s\r\n" % (len(PIECE), PIECE) if chunked else PIECE
        process = control_process(up)
        before = process.memory_info().rss
        head = request_head(up, "POST", "/sites", "Content-Type: application/json", field)
        sock.sendall(head)
        while self.sent < LONG and not select.select([sock], [], [], 0)[0]:
            sock.sendall(piece)
            self.sent += len(PIECE)
            if self.sent % MIB == 0:
                self.memory = max(self.memory, process.memory_info().rss - before)
        answer = HTTPResponse(sock)
        answer.begin()
        self.status, self.problem = answer.status, json.loads(answer.read())
        self.memory = max(self.memory, process.memory_info().rss - before)


@pytest.mark.parametrize(
    ("how", "read", "kept"),
    [("content-length", 0, 0), ("chunked", JSON_LIMIT, JSON_LIMIT)],
)
def test_a_hundred_megabytes_of_json_are_refused_long_before_they_are_sent(
    up: Any, connect: Callable[[], socket.socket], how: str, read: int, kept: int
) -> None:
    """An announced length costs nothing; without one the body is kept up to the limit."""
    long = Long(up, connect(), how)
    assert (long.status, long.problem["code"]) == (413, "too_large")
    assert long.sent <= read + SLACK
    assert long.memory <= kept + SLACK
    assert up.api("GET", "/sites") is not None


def announced(up: Any, name: str, data: bytes) -> dict[str, Any]:
    """A deploy of a new site, which waits for one file."""
    site = up.api("POST", "/sites", {"name": name})
    files = {"index.html": hashlib.sha1(data, usedforsecurity=False).hexdigest()}
    deploy: dict[str, Any] = up.api("POST", f"/sites/{site['id']}/deploys", {"files": files})
    assert deploy["required"] == list(files.values())
    return deploy


def stored_files(up: Any) -> set[Path]:
    """Every file below the object store's folder."""
    folder = Path(urlsplit(up.addresses["object_store"]).path)
    return {path for path in folder.rglob("*") if path.is_file()}


def close(sock: socket.socket) -> None:
    sock.close()


def stop_sending(sock: socket.socket) -> None:
    sock.shutdown(socket.SHUT_WR)
    assert sock.recv(1) == b"", "who has sent half a file is not answered"


def reset(sock: socket.socket) -> None:
    """Closed with nothing to linger for, a connection is reset (socket(7), SO_LINGER)."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize("leave", [close, stop_sending, reset])
@pytest.mark.parametrize("size", [1_000, 4 * MIB])
def test_half_a_file_is_not_stored_and_the_whole_one_is_taken_afterwards(
    up: Any,
    connect: Callable[[], socket.socket],
    until: Until,
    leave: Callable[[socket.socket], None],
    size: int,
) -> None:
    name = f"cut-{leave.__name__.replace('_', '-')}-{size}"
    data = (name.encode() * size)[:size]
    deploy = announced(up, name, data)
    path = f"/deploys/{deploy['id']}/files/index.html"
    control, before = control_process(up), stored_files(up)
    sock = connect()
    port = sock.getsockname()[1]

    def peers() -> set[int]:
        connections = control.net_connections(kind="inet")
        return {each.raddr.port for each in connections if each.raddr}

    sock.sendall(request_head(up, "PUT", path, f"Content-Length: {size}"))
    sock.sendall(data[: size // 2])
    until(lambda: port in peers(), "the connection is taken")
    leave(sock)
    until(lambda: port not in peers(), "the connection is let go")
    until(lambda: stored_files(up) == before, "the first half is dropped")
    asked = up.api("GET", f"/deploys/{deploy['id']}")
    assert (asked["state"], asked["required"]) == ("uploading", deploy["required"])

    put = up.client.put(f"{up.control}/api/v1{path}", content=data, headers=up.bearer)
    assert put.status_code == 200, put.text
    assert up.api("GET", f"/deploys/{deploy['id']}")["state"] == "ready"
    assert up.get(name, "/").content == data
