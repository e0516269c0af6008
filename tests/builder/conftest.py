"""What the builder's tests share: a site with a repository, and a git server over https."""

from __future__ import annotations

import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from blackstart.model import Site

if TYPE_CHECKING:
    from tests.conftest import Bench, Repository

PATIENCE_S = 60
PASSED_ON = {
    "Content-Type": "CONTENT_TYPE",
    "Content-Length": "CONTENT_LENGTH",
    "Content-Encoding": "HTTP_CONTENT_ENCODING",
    "Git-Protocol": "GIT_PROTOCOL",
}


class GitServer(ThreadingHTTPServer):
    """Serves the repositories below `folder`; a test may have it hang or ask for a login."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, folder: Path, certificate: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.requests: list[str] = []
        self.wants_login = False
        self.go_on = threading.Event()
        self.go_on.set()
        self.asked = threading.Event()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.socket = context.wrap_socket(
            self.socket, server_side=True, do_handshake_on_connect=False
        )
        self.settings = {"http.sslCAInfo": str(certificate)}

    def url(self, name: str) -> str:
        return f"https://127.0.0.1:{self.server_port}/{name}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: GitServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Hand over to git's own program for this (git-http-backend(1))."""
        self.server.requests.append(self.path)
        self.server.asked.set()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.go_on.wait(PATIENCE_S)
        if self.server.wants_login:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        done = subprocess.run(
            ["git", "http-backend"],
            input=body,
            capture_output=True,
            check=False,
            env={
                "PATH": os.environ["PATH"],
                "HOME": os.devnull,
                "GIT_PROJECT_ROOT": str(self.server.folder),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REMOTE_ADDR": "127.0.0.1",
                **{
                    name: self.headers[key]
                    for key, name in PASSED_ON.items()
                    if key in self.headers
                },
            },
        )
        self._answer(done.stdout)

    do_POST = do_GET

    def _answer(self, output: bytes) -> None:
        head, _, body = output.partition(b"\r\n\r\n")
        headers = [line.split(": ", 1) for line in head.decode().splitlines()]
        status = next((value for name, value in headers if name == "Status"), "200")
        self.send_response(int(status.split()[0]))
        for name, value in headers:
            if name != "Status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Nothing to the terminal."""


@pytest.fixture
def git_server(tmp_path: Path, certificate: Path) -> Iterator[GitServer]:
    """Serves what `make_repository` makes, as `NAME/.git`."""
    server = GitServer(tmp_path / "repositories", certificate)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.go_on.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
async def site(bench: Bench, repository: Repository) -> Site:
    return await bench.site(repo=repository.repo)
