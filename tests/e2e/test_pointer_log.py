"""The pointer log of a real platform: every build is on record, before and after its end."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Commit = Callable[[dict[str, bytes]], Path]


def verify(folder: Path, store: Path, environment: dict[str, str]) -> str:
    """What `pointer-log verify` says; it must find nothing wrong."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "blackstart.cli", "pointer-log", "verify"],
        env={
            **environment,
            "BLACKSTART_OBJECT_STORE": str(store),
            "BLACKSTART_POINTER_LOG": str(folder),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout.splitlines()[-1]


@pytest.mark.slow
def test_a_platform_logs_its_pointers_below_its_data_folder(
    start: Callable[..., Any], until: Callable[..., Any], commit: Commit, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    log, store = data / "pointer-log", data / "objects"
    with start(tmp_path / "tmp", "--data", str(data), "--nodes", "1") as up:
        up.create_site("pages", commit({"index.html": b"first"}))
        up.build("pages")
        assert verify(log, store, up.environment()) == "the log is whole: 1 pointer"
        commit({"index.html": b"second"})
        up.build("pages")
        up.end(signal.SIGTERM)
        until(up.is_all_gone, "all processes end")
        assert verify(log, store, up.environment()) == "the log is whole: 2 pointers"
        assert [path.name for path in (store / "pointer-log").glob("*/*")] == ["00000001.jsonl"]
