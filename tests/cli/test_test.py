"""`blackstart test`: pytest with the arguments given, and pytest's exit code."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "blackstart.cli", "test", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_all_arguments_reach_pytest_and_its_exit_code_comes_back(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import pytest\n"
        "@pytest.mark.slow\n"
        "def test_slow(): assert False\n"
        "def test_one(): pass\n"
        "def test_two(): assert False\n"
    )
    path = str(tmp_path / "test_it.py")
    common = ["-p", "no:cacheprovider", path]
    assert run(tmp_path, "-k", "one", *common).returncode == 0
    failed = run(tmp_path, "-x", "-m", "slow", *common)
    assert failed.returncode == 1
    assert "1 failed, 2 deselected" in failed.stdout
    assert run(tmp_path, "-k", "none", *common).returncode == 5


def test_it_runs_in_the_checkout_from_wherever_it_is_called(tmp_path: Path) -> None:
    done = run(tmp_path, "--collect-only", "tests/house/test_layout.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tests/house/test_layout.py" in done.stdout


def test_an_installed_copy_says_that_it_has_no_tests(
    call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # The package exports the function under the module's name, so the module is looked up.
    monkeypatch.setattr(sys.modules["blackstart.cli.test"], "__file__", str(tmp_path / "test.py"))
    done = call("test")
    assert done.code == 2
    assert "in a checkout" in done.err
