"""`blackstart serve`: settings that are missing or wrong, a role's life, and its document."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import httpx2
import pytest

from blackstart.cdn.settings import CdnSettings
from blackstart.errors import ProcessError, UsageError
from blackstart.guard.settings import GuardSettings
from blackstart.recovery.settings import RecoverySettings
from blackstart.service import bind, serve_http, url_of
from blackstart.settings import PREFIX, Settings, load

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)


KINDS = [Settings, CdnSettings, GuardSettings, RecoverySettings]


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_is_documented_and_every_documented_one_exists(kind: type[Any]) -> None:
    documented = set(
        re.findall(r"^\| `(BLACKSTART_\w+)`", (ROOT / "docs/servers.md").read_text(), re.MULTILINE)
    )
    known = {PREFIX + field.upper() for field in kind.model_fields}
    assert known - documented == set()
    everything = {PREFIX + field.upper() for each in KINDS for field in each.model_fields}
    assert documented - everything == set()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOG_LEVEL", "loud"),
        ("NODE_URLS", "node-1:80"),
        ("DOMAIN", "no domain"),
        ("DATABASE", "a/b"),
        ("RATE_LIMIT", "-1"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(UsageError, match=f"^{PREFIX}{name}: "):
        load(Settings)


def test_a_missing_setting_of_a_node_is_named() -> None:
    with pytest.raises(UsageError, match=r"^BLACKSTART_ORIGIN_URL is not set"):
        load(CdnSettings)


def test_node_urls_have_commas_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLACKSTART_NODE_URLS", "http://a:1, http://b:2,")
    settings = load(Settings)
    assert settings.node_urls == ["http://a:1", "http://b:2"]
    with pytest.raises(UsageError, match="BLACKSTART_PURGE_TOKEN"):
        settings.needed_purge_token()


def test_a_role_asks_for_what_it_cannot_do_without(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"set BLACKSTART_MONGODB_URI or use `blackstart up`"):
        load(Settings).needed_mongodb_uri()
    with pytest.raises(UsageError, match="BLACKSTART_OBJECT_STORE"):
        load(Settings).needed_object_store()
    monkeypatch.setenv("BLACKSTART_OBJECT_STORE", "memory://")
    with pytest.raises(UsageError, match="seen by one process only"):
        load(Settings).needed_object_store()


@pytest.mark.parametrize("listen", ["", "8000", ":8000", "host:", "host:x", "host:70000"])
def test_what_is_no_address_is_refused(listen: str) -> None:
    with pytest.raises(UsageError, match="HOST:PORT"):
        bind(listen)


def test_port_0_takes_a_free_port_which_then_is_taken() -> None:
    with bind("127.0.0.1:0") as sock:
        sock.listen()
        address = url_of(sock).removeprefix("http://")
        assert not address.endswith(":0")
        with pytest.raises(ProcessError, match=f"^cannot listen on {address}: "):
            bind(address)


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_an_ipv6_address_keeps_its_brackets() -> None:
    try:
        sock = bind("[::1]:0")
    except ProcessError:
        pytest.skip("no IPv6 here")
    with sock:
        assert url_of(sock).startswith("http://[::1]:")


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_node_says_where_it_is_answers_and_ends_when_asked(
    tmp_path: Path, signum: signal.Signals, code: int
) -> None:
    command = [sys.executable, "-P", "-m", "blackstart.cli", "serve", "node"]
    environment = {
        **os.environ,
        "BLACKSTART_ORIGIN_URL": "http://127.0.0.1:1",
        "BLACKSTART_PURGE_TOKEN": "a token",
        "BLACKSTART_CACHE_DIR": str(tmp_path),
    }
    with subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            said = re.fullmatch(r"node listening on (http://\S+)\n", process.stdout.readline())
            assert said is not None
            with urllib.request.urlopen(f"{said[1]}/.blackstart/healthz") as response:
                assert json.load(response)["status"] == "ok"
            process.send_signal(signum)
            assert process.wait(20) == code
            assert process.stderr.read() == ""
        finally:
            process.kill()


def test_a_role_without_its_database_says_so_in_one_line() -> None:
    command = [sys.executable, "-P", "-m", "blackstart.cli", "serve", "control"]
    done = subprocess.run(
        [*command, "--listen", "127.0.0.1:0"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: this role needs a database (set BLACKSTART_MONGODB_URI or use `blackstart up`)\n"
    )


async def test_an_answer_under_way_goes_out_before_the_server_ends() -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        asked.set()
        await go_on.wait()
        headers = [(b"content-length", b"4")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"done"})

    with bind("127.0.0.1:0") as sock:
        urls: asyncio.Queue[str] = asyncio.Queue()
        serving = asyncio.ensure_future(serve_http(slow, sock, ready=urls.put_nowait))
        async with httpx2.AsyncClient(base_url=await urls.get(), trust_env=False) as client:
            answer = asyncio.ensure_future(client.get("/"))
            await asyncio.wait_for(asked.wait(), 10)
            serving.cancel()
            await asyncio.sleep(0)
            assert not serving.done()
            go_on.set()
            assert (await answer).content == b"done"
        with pytest.raises(asyncio.CancelledError):
            await serving


async def test_a_server_ends_with_the_work_beside_it_and_tells_why() -> None:
    async def broken() -> None:
        raise ProcessError("the work broke down")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        """Never called."""

    with bind("127.0.0.1:0") as sock:
        work = asyncio.ensure_future(broken())
        with pytest.raises(ProcessError, match="broke down"):
            await serve_http(app, sock, ready=lambda url: None, work=work)


@pytest.mark.parametrize("form", ["json", "pretty"])
def test_a_traceback_in_the_log_shows_no_variables(form: str) -> None:
    script = """
import structlog
from blackstart.service import configure_logs

def fail(bearer):
    raise ZeroDivisionError("a bug")

configure_logs("info", "FORM")
try:
    fail("".join(["bst", "_", "secret"]))
except ZeroDivisionError:
    structlog.get_logger("test").exception("unexpected error")
"""
    done = subprocess.run(
        [sys.executable, "-c", script.replace("FORM", form)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "ZeroDivisionError: a bug" in done.stderr
    assert "bst_secret" not in done.stderr
