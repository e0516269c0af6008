"""Tests of child processes as the platform holds them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from blackstart.errors import ProcessError
from blackstart.process import ChildProcess, scratch_folder, temporary_folder

WAIT = [sys.executable, "-c", "import signal; signal.pause()"]


async def test_a_child_runs_until_it_is_stopped() -> None:
    child = ChildProcess.start("a child", WAIT)
    assert child.exit_code is None
    await child.stop()
    assert child.exit_code is not None


async def test_stopping_twice_is_fine() -> None:
    child = ChildProcess.start("a child", WAIT)
    await child.stop()
    await child.stop()
    child.stop_now()


def test_a_child_can_be_stopped_without_a_loop() -> None:
    child = ChildProcess.start("a child", WAIT)
    child.stop_now()
    assert child.exit_code is not None


async def test_its_folders_are_gone_when_stop_returns(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    child = ChildProcess.start("a child", WAIT, remove=[folder])
    await child.stop()
    assert not folder.exists()


def test_its_output_is_added_to_its_log_and_it_gets_its_environment(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    say = "import os, sys; print(os.environ['WORD']); print('err', file=sys.stderr)"
    child = ChildProcess.start(
        "a child", [sys.executable, "-c", say], log=log, env={"WORD": "hello"}
    )
    child._popen.wait()
    child.stop_now()
    assert sorted(log.read_text().splitlines()) == ["before", "err", "hello"]


def test_a_log_that_cannot_be_opened_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match="cannot start a child"):
        ChildProcess.start("a child", WAIT, log=tmp_path / "missing" / "log")


def test_a_temporary_folder_is_private_and_says_what_it_is_for() -> None:
    folder = temporary_folder("drill")
    try:
        assert folder.name.startswith("blackstart-drill-")
        assert folder.stat().st_mode & 0o077 == 0
    finally:
        folder.rmdir()


async def test_a_scratch_folder_is_gone_afterwards_with_all_that_is_in_it() -> None:
    with pytest.raises(RuntimeError, match="crash"):
        async with scratch_folder("test") as folder:
            (folder / "deep").mkdir()
            (folder / "deep" / "file").write_text("data")
            raise RuntimeError("crash")
    assert not folder.exists()


async def test_a_temporary_folder_can_be_made_within_another(tmp_path: Path) -> None:
    assert temporary_folder("build", within=tmp_path).parent == tmp_path
