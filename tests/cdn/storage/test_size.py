"""Tests of what the cache costs: the limits that its benchmarks are given."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_an_object_takes_no_more_than_a_kibibyte_beside_its_body() -> None:
    done = run("cdn_memory.py", "--entries", "100000", "--limit", "1024")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "found on disk" in done.stdout


def test_pages_are_found_while_the_index_is_read() -> None:
    done = run("cdn_start.py", "--entries", "1500", "--limit", "inf")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all read after" in done.stdout
