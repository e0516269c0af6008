"""`blackstart guard login`: who may come through the guard, and how a password gets in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., Any]
PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BLACKSTART_GUARD_DATA", str(tmp_path / "guard"))
    monkeypatch.setenv("BLACKSTART_GUARD_PASSWORD", PASSWORD)


def test_a_login_has_a_person_and_roles(call: Call) -> None:
    assert call("guard", "login", "add", "ada").out == "ada, ada, no role\n"
    second = call("guard", "login", "add", "ada2", "--person", "ada", "--role", "reviewer")
    assert second.out == "ada2, ada, reviewer\n"
    rows = json.loads(call("guard", "login", "list", "--json").out)
    assert rows == [
        {"name": "ada", "person": "ada", "roles": []},
        {"name": "ada2", "person": "ada", "roles": ["reviewer"]},
    ]
    assert "ada2" in call("guard", "login", "list").out


def test_a_removed_login_is_gone(call: Call) -> None:
    call("guard", "login", "add", "ada")
    assert call("guard", "login", "remove", "ada").code == 0
    assert json.loads(call("guard", "login", "list", "--json").out) == []
    again = call("guard", "login", "remove", "ada")
    assert (again.code, "no login 'ada'" in again.err) == (1, True)


def test_nobody_is_added_twice(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    call("guard", "login", "add", "ada")
    monkeypatch.delenv("BLACKSTART_GUARD_PASSWORD")
    assert "already" in call("guard", "login", "add", "ada").err


def test_without_a_terminal_the_password_comes_from_the_environment(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BLACKSTART_GUARD_PASSWORD")
    refused = call("guard", "login", "add", "ada")
    assert (refused.code, "BLACKSTART_GUARD_PASSWORD" in refused.err) == (2, True)


def test_the_guards_folder_is_nobody_elses(call: Call, tmp_path: Path) -> None:
    """Requests, lines and snapshots below it hold other people's documents."""
    call("guard", "login", "add", "ada")
    assert (tmp_path / "guard").stat().st_mode & 0o077 == 0


def test_no_file_holds_the_password(call: Call, tmp_path: Path) -> None:
    call("guard", "login", "add", "ada")
    assert not [
        path
        for path in tmp_path.rglob("*")
        if path.is_file() and PASSWORD.encode() in path.read_bytes()
    ]


def test_a_short_password_is_refused(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLACKSTART_GUARD_PASSWORD", "short")
    refused = call("guard", "login", "add", "ada")
    assert (refused.code, "at least 12" in refused.err) == (2, True)
