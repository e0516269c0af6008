"""What `up` prints to do first can be done."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from blackstart.cli.main import app
from blackstart.cli.up_addresses import print_addresses, print_json
from blackstart.cli.up_guard import OPERATOR, PASSWORDS_FILE, REVIEWER, UpGuard, make_logins
from blackstart.guard.guardroom import Places
from blackstart.guard.logins import Logins


def platform(folder: Path, guard: UpGuard | None = None) -> Any:
    urls = {name: f"http://127.0.0.1:{port}" for port, name in enumerate(["control", "node-1"], 1)}
    return SimpleNamespace(
        servers={name: SimpleNamespace(url=url) for name, url in urls.items()},
        urls=lambda role: [urls["node-1"]],
        environment={},
        embedded=False,
        guard=guard,
        token="bst_test",
        settings=SimpleNamespace(domain="localhost"),
        plan=SimpleNamespace(data=None),
        folder=folder,
    )


def test_every_command_that_is_printed_is_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    print_addresses(platform(tmp_path))
    printed = capsys.readouterr().out
    steps = re.findall(r"^  \./blackstart (.*)$", printed, re.MULTILINE)
    assert len(steps) == 2
    for step in steps:
        group, name, *arguments = shlex.split(step)
        known: Any = typer.main.get_command(app).commands[group].commands[name]  # type: ignore
        known.make_context(name, arguments)
    assert "export BLACKSTART_API_URL=http://127.0.0.1:1\n" in printed
    assert "export BLACKSTART_API_TOKEN=bst_test\n" in printed


def a_guard(folder: Path, *removed: str) -> UpGuard:
    passwords = {
        name: password for name, password in make_logins(folder).items() if name not in removed
    }
    server: Any = SimpleNamespace(url="127.0.0.1:5")
    return UpGuard(server, passwords, "blackstart", "http://127.0.0.1:6/")


def test_behind_a_guard_both_people_are_told_how_to_come_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    guard = a_guard(tmp_path)
    print_addresses(platform(tmp_path, guard))
    printed = capsys.readouterr().out
    assert f"mongosh '{guard.uri(OPERATOR)}'" in printed
    assert f"export BLACKSTART_GUARD_URI='{guard.uri(REVIEWER)}'" in printed
    assert "http://127.0.0.1:6/" in printed
    steps = re.findall(r"^  \./blackstart guard (.*)$", printed, re.MULTILINE)
    assert len(steps) == 3
    for step in steps:
        name, *arguments = shlex.split(step)
        known: Any = typer.main.get_command(app).commands["guard"].commands[name]  # type: ignore
        known.make_context(name, arguments)


def test_nobody_is_told_a_password_of_a_login_that_is_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    guard = a_guard(tmp_path, REVIEWER)
    print_addresses(platform(tmp_path, guard))
    assert "reviewer:" not in capsys.readouterr().out


def test_scripts_are_told_the_way_through_the_guard_and_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    guard = a_guard(tmp_path)
    shown = platform(tmp_path, guard)
    shown.servers["origin"] = SimpleNamespace(url="http://127.0.0.1:3")
    shown.environment = {
        "BLACKSTART_MONGODB_URI": "mongodb://services:secret@127.0.0.1:4/?x=y",
        "BLACKSTART_OBJECT_STORE": "files",
    }
    print_json(shown)
    line = capsys.readouterr().out
    assert "secret" not in line
    told = json.loads(line)
    assert told["mongodb_uri"] == told["guard"]["operator"] == guard.uri(OPERATOR)
    assert told["guard"]["address"] == "127.0.0.1:5"


def test_logins_and_passwords_stay_and_one_that_was_removed_is_not_made_again(
    tmp_path: Path,
) -> None:
    first = make_logins(tmp_path)
    assert list(first) == [OPERATOR, REVIEWER]
    assert make_logins(tmp_path) == first
    Logins(Places(tmp_path).logins).remove(OPERATOR)
    assert make_logins(tmp_path) == {REVIEWER: first[REVIEWER]}
    assert (tmp_path / PASSWORDS_FILE).stat().st_mode & 0o077 == 0
