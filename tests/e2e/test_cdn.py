"""`blackstart cdn` as a process of its own: looked into while it serves, and ended under load."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest

from blackstart.cli.main import main

DEADLINE_S = 20.0
LIMITED = 'ulimit -n "$0" && exec "$@"'
SLOW_BODY = b"a" * 500_000 + b"b" * 500_000


@dataclass
class Origin:
    """An origin whose `/slow` sends the second half of its body when it is told to."""

    url: str = ""
    go_on: threading.Event = field(default_factory=threading.Event)
    asked: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))


@pytest.fixture
def origin() -> Iterator[Origin]:
    made = Origin()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            slow = self.path.startswith("/slow")
            body = SLOW_BODY if slow else b"page"
            self.send_response(200)
            self.send_header("Cache-Control", "no-store" if slow else "max-age=600")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            half = len(body) // 2
            self.wfile.write(body[:half])
            if slow:
                made.asked.release()
                made.go_on.wait(DEADLINE_S)
            self.wfile.write(body[half:])

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        made.url = f"http://127.0.0.1:{server.server_port}"
        yield made
        made.go_on.set()
        server.shutdown()
        thread.join()


@dataclass
class RunningNode:
    url: str
    process: subprocess.Popen[str]


@contextmanager
def running(
    origin: Origin, temporary: Path, *, descriptors: int | None = None
) -> Iterator[RunningNode]:
    command = [] if descriptors is None else ["/bin/sh", "-c", LIMITED, str(descriptors)]
    command += [sys.executable, "-P", "-m", "blackstart.cli", "cdn", "--listen", "127.0.0.1:0"]
    command += ["--origin", origin.url, "--cache", str(temporary / "cache"), "--name", "n1"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A group of its own shows whether a process of it is left.
        start_new_session=True,
        env={"PATH": "", "BLACKSTART_PURGE_TOKEN": "secret"},
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("listening on "), process.stderr and process.stderr.read()
            yield RunningNode(line.split()[-1], process)
        finally:
            process.kill()


@pytest.fixture
def node(origin: Origin, tmp_path: Path) -> Iterator[RunningNode]:
    with running(origin, tmp_path) as node:
        yield node


@pytest.fixture
def run(
    node: RunningNode, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Runs a command that looks into the node; returns what it printed."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("BLACKSTART_NODE_URL", node.url)
    monkeypatch.setenv("BLACKSTART_PURGE_TOKEN", "secret")

    def run(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["cdn", *arguments])
        said = capsys.readouterr()
        assert (ended.value.code, said.err) == (0, "")
        return said.out

    return run


def test_a_node_is_warmed_and_looked_into(
    node: RunningNode, run: Callable[..., str], tmp_path: Path
) -> None:
    pages = tmp_path / "pages"
    pages.write_text("http://docs.localhost/a%2Fb?c=ü\n" + "".join(f"/{n}\n" for n in range(9)))
    assert run("warm", str(pages)) == "10 stored, 0 held already, 0 not stored, 0 failed\n"
    assert run("warm", str(pages)) == "0 stored, 10 held already, 0 not stored, 0 failed\n"

    [entry] = json.loads(run("ls", "docs.localhost/", "--json"))
    assert (entry["target"], entry["size"], entry["fresh"]) == ("/a%2Fb?c=%C3%BC", 4, True)
    assert run("ls").count("127.0.0.1") == 9

    found = run("inspect", "http://docs.localhost/a%2Fb?c=ü")
    assert "now: hit: send the copy from memory\n" in found
    assert "  cache-control: max-age=600\n" in found
    assert "now: fwd=uri-miss: ask the origin\n" in run("inspect", "/none")

    looked = run("top", "--once", "--every", "0.05").split()
    assert looked[looked.index("entries") + 1] == "10"
    assert looked[looked.index("connections") + 1] == "1", "its own"
    said = httpx2.get(f"{node.url}/.blackstart/metrics", trust_env=False).text
    for line in (
        'hits_total{plan="free"} 10.0',
        'misses_total{plan="free"} 10.0',
        "origin_seconds_count 10.0",
        'sent_bytes_total{plan="free"} 80.0',
    ):
        assert f"blackstart_cdn_{line}\n" in said


def visit(url: str, bodies: list[bytes]) -> None:
    """Read a page to its end, on a connection of its own."""
    bodies.append(httpx2.get(url, trust_env=False, timeout=DEADLINE_S).content)


def refuses(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=DEADLINE_S).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_node_under_load_ends_its_answers_before_it_ends(
    origin: Origin, node: RunningNode, until: Callable[[Callable[[], Any], str], Any]
) -> None:
    bodies: list[bytes] = []
    visitors = [
        threading.Thread(target=visit, args=(f"{node.url}/slow/{number}", bodies))
        for number in range(8)
    ]
    for visitor in visitors:
        visitor.start()
    for _ in visitors:
        assert origin.asked.acquire(timeout=DEADLINE_S)
    node.process.send_signal(signal.SIGTERM)
    port = int(node.url.rpartition(":")[2])
    until(lambda: refuses(("127.0.0.1", port)), "nobody new is let in")
    assert (node.process.poll(), bodies) == (None, [])
    origin.go_on.set()
    for visitor in visitors:
        visitor.join(DEADLINE_S)
    assert [len(body) for body in bodies] == [len(SLOW_BODY)] * len(visitors)
    assert set(bodies) == {SLOW_BODY}
    assert node.process.wait(DEADLINE_S) == 143
    assert node.process.stderr is not None
    assert node.process.stderr.read() == ""
    with pytest.raises(ProcessLookupError):
        os.killpg(node.process.pid, 0)


def test_ctrl_c_ends_an_idle_node_with_its_own_code(node: RunningNode) -> None:
    with httpx2.Client(trust_env=False) as idle:
        assert idle.get(f"{node.url}/").content == b"page"
        node.process.send_signal(signal.SIGINT)
        assert node.process.wait(DEADLINE_S) == 130
    assert node.process.stderr is not None
    assert node.process.stderr.read() == ""


def test_a_crowd_takes_no_descriptors_that_stored_pages_are_read_with(
    origin: Origin, tmp_path: Path
) -> None:
    site = {"host": "a.example"}  # Not the node's own, which has another port each time.
    with running(origin, tmp_path) as node:
        httpx2.get(f"{node.url}/page", headers=site)
        node.process.terminate()
        node.process.wait(DEADLINE_S)
    with running(origin, tmp_path, descriptors=400) as node, ExitStack() as crowd:
        address = ("127.0.0.1", int(node.url.rpartition(":")[2]))
        with httpx2.Client(base_url=node.url) as client:
            client.get("/.blackstart/healthz")
            for _ in range(420):
                with suppress(ConnectionError):
                    crowd.enter_context(socket.create_connection(address, DEADLINE_S))
            got = client.get("/page", headers=site)
    assert got.headers["cache-status"].startswith("n1; hit"), got.headers
    assert got.content == b"page"
