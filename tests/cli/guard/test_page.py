"""Where the web page of `blackstart guard` is, and what becomes of a port that is taken."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.cli.guard.conftest import running_guard

from blackstart.cli.guard_page import bind_page, page_url
from blackstart.errors import ProcessError, UsageError
from blackstart.guard.settings import NO_PAGE, PAGE_ADDRESS, GuardSettings
from blackstart.settings import load


@pytest.fixture
def taken() -> Iterator[str]:
    """An address at which somebody else listens."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield f"127.0.0.1:{sock.getsockname()[1]}"


def test_a_guard_says_where_its_page_is(mongodb_uri: str, tmp_path: Path) -> None:
    with running_guard(tmp_path, mongodb_uri, "--http", "127.0.0.1:0") as guard:
        assert guard.process.stdout is not None
        line = guard.process.stdout.readline()
        assert line.startswith("its web page is at http://127.0.0.1:")
        assert httpx2.get(line.split()[-1] + "login").status_code == 200


def test_a_port_that_was_asked_for_and_is_taken_is_an_error(
    taken: str, call: Callable[..., Any]
) -> None:
    with pytest.raises(ProcessError), bind_page(GuardSettings(guard_http=taken)):
        pass
    refused = call(
        *("guard", "--upstream", "mongodb://127.0.0.1:1", "--listen", "127.0.0.1:0"),
        *("--http", taken),
    )
    assert (refused.code, taken in refused.err) == (1, True)


def test_nobody_has_asked_for_the_usual_port_so_a_guard_runs_without_it() -> None:
    host, port = PAGE_ADDRESS.split(":")
    settings = GuardSettings()
    with socket.socket() as other:
        # On a busy machine somebody has it already, which is as well.
        with suppress(OSError):
            other.bind((host, int(port)))
            other.listen()
        with bind_page(settings) as sock:
            assert sock is None
    assert settings.guard_http == NO_PAGE and not settings.takes_callbacks


def test_there_need_be_no_page() -> None:
    with bind_page(GuardSettings(guard_http=NO_PAGE)) as sock:
        assert sock is None


def test_a_guard_on_a_free_port_has_its_page_on_one_too() -> None:
    settings = GuardSettings(listen="127.0.0.1:0")
    with bind_page(settings) as sock:
        assert sock is not None
        port = sock.getsockname()[1]
        assert page_url(settings, sock) == f"http://127.0.0.1:{port}/"
        settings.guard_http_url = "https://guard.example.org"
        assert page_url(settings, sock) == "https://guard.example.org/"


def test_people_of_the_channel_are_named_by_their_logins() -> None:
    settings = load(GuardSettings, guard_people=" U1 = ada,U2=bob, ")
    assert settings.guard_people == {"U1": "ada", "U2": "bob"}
    for wrong in ("U1", "U1=", "=ada", "U1=ada,U2"):
        with pytest.raises(UsageError, match="USER=LOGIN"):
            load(GuardSettings, guard_people=wrong)


def test_secrets_of_the_channel_are_in_no_print_of_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BLACKSTART_GUARD_WEBHOOK", "https://hooks.example.org/hidden")
    monkeypatch.setenv("BLACKSTART_GUARD_SIGNING_SECRET", "hidden")
    settings = load(GuardSettings)
    assert "hidden" not in repr(settings) and settings.takes_callbacks
