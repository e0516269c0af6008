"""What `up` prints to do first can be done."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from blackstart.cli.main import app
from blackstart.cli.up_addresses import print_addresses


def platform(folder: Path) -> Any:
    urls = {name: f"http://127.0.0.1:{port}" for port, name in enumerate(["control", "node-1"], 1)}
    return SimpleNamespace(
        servers={name: SimpleNamespace(url=url) for name, url in urls.items()},
        urls=lambda role: [urls["node-1"]],
        environment={},
        embedded=False,
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
