"""`blackstart guard` itself: what it wants to know before it serves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from blackstart.errors import UsageError
from blackstart.guard.settings import GuardSettings

Call = Callable[..., Any]


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_guard_needs_a_database(call: Call) -> None:
    refused = call("guard")
    assert (refused.code, "--upstream" in refused.err) == (2, True)


@pytest.mark.parametrize(
    ("option", "value"), [("--wait", "-1"), ("--advertise", "here"), ("--max-connections", "0")]
)
def test_an_option_that_makes_no_sense_is_named(call: Call, option: str, value: str) -> None:
    refused = call("guard", "--upstream", "mongodb://127.0.0.1:1", option, value)
    assert (refused.code, option in refused.err) == (2, True)


def test_options_of_a_guard_mean_nothing_to_those_who_speak_to_one(call: Call) -> None:
    refused = call("guard", "--wait", "3", "login", "list")
    assert (refused.code, "--wait is for running a guard" in refused.err) == (2, True)


def test_a_certificate_that_is_none_is_named(call: Call, tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("nothing")
    refused = call(
        "guard",
        *("--upstream", "mongodb://127.0.0.1:1", "--listen", "127.0.0.1:0"),
        *("--tls-cert", "cert.pem"),
    )
    assert (refused.code, "cert.pem" in refused.err) == (2, True)


@pytest.mark.parametrize(
    ("host", "advertised", "address"),
    [
        ("127.0.0.1", "", "127.0.0.1:27018"),
        ("::1", "", "[::1]:27018"),
        ("0.0.0.0", "guard.test:1", "guard.test:1"),
    ],
)
def test_clients_are_told_where_the_guard_is(host: str, advertised: str, address: str) -> None:
    assert GuardSettings(guard_advertise=advertised).address(host, 27018) == address


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_guard_that_listens_everywhere_must_be_told_where_it_is(host: str) -> None:
    with pytest.raises(UsageError, match="--advertise"):
        GuardSettings().address(host, 27018)
