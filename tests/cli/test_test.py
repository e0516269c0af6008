"""Tests of `blackstart test`, as far as to what it becomes."""

import os

import pytest

from blackstart.cli.test import test as run_tests


@pytest.mark.parametrize(
    ("given", "becomes"),
    [
        ([], ["-n", "5", "--dist", "loadfile", "-q"]),
        (["-v"], ["-n", "5", "--dist", "loadfile", "-v"]),
        (["-x"], ["-q", "-x"]),
        (["-m", "slow"], ["-q", "-m", "slow"]),
        (["tests/cdn", "-q"], ["tests/cdn", "-q"]),
    ],
)
def test_only_a_whole_run_has_more_than_one_worker(monkeypatch, given, becomes) -> None:
    ran = []
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(os, "chdir", lambda folder: None)
    monkeypatch.setattr(os, "execv", lambda program, command: ran.append(command))
    run_tests(given)
    assert ran[0][2:4] == ["-m", "pytest"]
    assert ran[0][4:] == becomes
