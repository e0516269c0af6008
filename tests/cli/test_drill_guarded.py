"""`blackstart drill` behind the guard: the same journal whatever the hash seed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-P", "-m", "blackstart.cli", "drill", "feb2", "--sites", "20"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "safeguards",
    ["pre-write-snapshot,audit-trail", "peer-signoff,pre-write-snapshot,audit-trail"],
)
def test_the_same_seed_gives_the_same_journal(tmp_path: Path, safeguards: str) -> None:
    folders = {seed: tmp_path / seed for seed in ("0", "12345")}
    kept = {key: value for key, value in os.environ.items() if not key.startswith("BLACKSTART_")}
    running = [
        subprocess.Popen(
            [*COMMAND, "--seed", "7", "--with", safeguards, "--json", "--out", str(folder)],
            env={**kept, "PYTHONHASHSEED": seed},
            stdout=subprocess.DEVNULL,
        )
        for seed, folder in folders.items()
    ]
    assert [process.wait() for process in running] == [0, 0]
    journals = [(folder / "journal.jsonl").read_bytes() for folder in folders.values()]
    assert journals[0] == journals[1]
    assert b'"write.held"' in journals[0]
