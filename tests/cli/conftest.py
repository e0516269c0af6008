"""The command line, called in this process."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from blackstart.cli.main import main

PATIENCE_S = 30


@dataclass(frozen=True)
class Outcome:
    """How a call ended, and what it said."""

    code: int
    out: str
    err: str


Call = Callable[..., Outcome]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Runs the command line as in a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments: str) -> Outcome:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Outcome(ended.value.code, said.out, said.err)

    return call


@dataclass
class FakeApi:
    """A control API that says what a test wants it to say, and keeps what it was asked.

    The answers to the request `silent` never come to their end.
    """

    url: str = ""
    answers: dict[str, list[Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    fields: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    silent: str = ""
    ended: threading.Event = field(default_factory=threading.Event)

    def answer(self, request: str, body: Any, status: int = 200, **fields: str) -> None:
        """Answer `METHOD /path` so; the last of several answers is given again and again."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers.setdefault(request, []).append((status, data, fields))

    def refuse(self, request: str, status: int, code: str, message: str, hint: str = "") -> None:
        """Answer with a problem."""
        self.answer(request, {"code": code, "message": message, "hint": hint}, status)

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        request = f"{handler.command} {handler.path.partition('?')[0].removeprefix('/api/v1')}"
        self.asked.append(f"{handler.command} {handler.path}")
        self.fields.append({name.lower(): value for name, value in handler.headers.items()})
        self.bodies.append(handler.rfile.read(int(handler.headers.get("content-length", 0))))
        answers = self.answers.get(request, [(404, b"<p>Nothing</p>", {})])
        status, data, fields = answers.pop(0) if len(answers) > 1 else answers[0]
        handler.send_response(status)
        for name, value in fields.items():
            handler.send_header(name.replace("_", "-"), value)
        silent = request == self.silent
        handler.send_header("Content-Length", str(len(data) + silent))
        handler.end_headers()
        handler.wfile.write(data)
        if silent:
            # One byte is missing, and does not come.
            self.ended.wait(PATIENCE_S)


@pytest.fixture
def fake_api(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    """The control API that the commands are pointed at."""
    api = FakeApi()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            api.handle(self)

        do_POST = do_DELETE = do_GET

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        api.url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("BLACKSTART_API_URL", api.url)
        monkeypatch.setenv("BLACKSTART_API_TOKEN", "bst_test")
        yield api
        api.ended.set()
        server.shutdown()
        thread.join()
