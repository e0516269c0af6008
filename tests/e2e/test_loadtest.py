"""The load test itself: it passes on a sound platform, and a wrong byte makes it fail."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

LOCUSTFILE = Path(__file__).parents[2] / "loadtests" / "locustfile.py"
PAGES = {
    "index.html": b'<a href="/about">About</a> <a href="style.css">s</a> <a href="/gone">x</a>',
    "about.html": b"<p>About</p>",
    "style.css": b"p { color: green }",
}


def locust(control: str, node: str, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "locust", "-f", str(LOCUSTFILE), "--headless"]
    command += ["--json", "--skip-log", "--control", control, "--host", node, *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def totals(done: subprocess.CompletedProcess[str]) -> dict[str, tuple[int, int]]:
    """Requests and failures by name."""
    return {
        entry["name"]: (entry["num_requests"], entry["num_failures"])
        for entry in json.loads(done.stdout)
    }


def test_visitors_warm_and_cold_get_the_right_bytes(
    up: Any, commit: Callable[[dict[str, bytes]], Path]
) -> None:
    up.create_site("load", commit(PAGES))
    up.build("load")
    more = ["--token", up.addresses["token"], "--purge-token", "a token", "--run-time", "5s"]
    done = locust(up.control, up.nodes[0], *more)
    assert done.returncode == 0, done.stdout + done.stderr
    counted = totals(done)
    assert counted.keys() == {"warm", "cold", "purge"}
    for name, (requests, failures) in counted.items():
        assert requests > 0, name
        assert failures == 0, name


@pytest.fixture
def corrupting() -> Iterator[str]:
    """Plays both control API and node, and serves bodies that are not what their ETag says."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = b"wrong bytes"
            if self.path.startswith("/api/"):
                body = json.dumps([{"id": "1", "name": "a", "published_deploy": {}}]).encode()
            self.send_response(200)
            self.send_header("ETag", f'"{hashlib.sha1(b"right bytes").hexdigest()}"')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_wrong_byte_makes_it_fail(corrupting: str) -> None:
    done = locust(corrupting, corrupting, "--run-time", "3s", "--users", "2")
    assert done.returncode == 1, done.stdout + done.stderr
    requests, failures = totals(done)["warm"]
    assert requests == failures > 0


def test_without_a_control_api_it_says_so_and_fails() -> None:
    done = locust("http://127.0.0.1:1", "http://127.0.0.1:1", "--run-time", "9s")
    assert done.returncode == 2
    assert "error: " in done.stdout
