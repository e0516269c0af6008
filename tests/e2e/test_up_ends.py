"""However `up` ends, nothing of it stays behind; and what was to be kept is kept."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
Until = Callable[[Callable[[], Any], str], Any]


def test_kill_9_leaves_no_process_and_no_temporary_folder(
    start: Callable[..., Any], until: Until, tmp_path: Path
) -> None:
    with start(tmp_path / "tmp") as up:
        assert len(up.family) == 14
        assert list(up.temporary.iterdir())
        up.end(signal.SIGKILL)
        until(up.is_all_gone, "all processes end")
        until(lambda: not list(up.temporary.iterdir()), "all temporary folders go")


@pytest.mark.slow
def test_a_data_folder_outlives_its_platform_and_belongs_to_one_at_a_time(
    start: Callable[..., Any],
    run_up: Run,
    commit: Callable[[dict[str, bytes]], Path],
    tmp_path: Path,
) -> None:
    temporary, data = tmp_path / "tmp", str(tmp_path / "data")
    with start(temporary, "--data", data, "--nodes", "1") as first:
        first.create_site("kept", commit({"index.html": b"kept"}))
        first.build("kept")

        second = run_up(temporary, "--data", data)
        assert (second.returncode, second.stdout) == (1, "")
        assert second.stderr.startswith(f"error: {data} is in use by another `blackstart up`")
        assert str(first.process.pid) in second.stderr
        assert second.stderr.count("\n") == 1

        first.end(signal.SIGKILL)
        # Its roles may still be ending: the next one waits for them.
        with start(temporary, "--data", data, "--nodes", "1") as third:
            assert first.is_all_gone()
            assert third.get("kept", "/").content == b"kept"

            assert third.end(signal.SIGINT) == 130
            assert third.process.stderr.read() == ""
            assert third.is_all_gone()
    assert list(temporary.iterdir()) == []
    assert list((tmp_path / "data" / "tmp").iterdir()) == []


@pytest.mark.slow
def test_a_process_that_dies_is_named_with_the_end_of_its_log_and_ends_all(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    with start(tmp_path / "tmp", "--nodes", "1") as up:
        (node,) = [each for each in up.family if each.cmdline()[5:6] == ["node"]]
        node.kill()
        assert up.process.wait(40) == 1
        said = up.process.stderr.read()
        assert f"    node listening on {up.nodes[0]}\n" in said
        assert "error: node-1 was killed by signal 9" in said.splitlines()[-1]
        assert up.is_all_gone()
    assert list(up.temporary.iterdir()) == []


def test_a_mongodb_out_of_reach_is_told_in_one_line(run_up: Run, tmp_path: Path) -> None:
    done = run_up(tmp_path, BLACKSTART_MONGODB_URI="mongodb://127.0.0.1:1")
    assert done.returncode == 1
    assert done.stderr.startswith("error: MongoDB does not answer")
    assert "BLACKSTART_MONGODB_URI" in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


@pytest.mark.slow
def test_a_port_that_is_taken_is_told_by_the_name_of_who_wanted_it(
    run_up: Run, tmp_path: Path, taken_port: int
) -> None:
    done = run_up(tmp_path, "--port", str(taken_port - 1))
    assert done.returncode == 1
    assert done.stderr.startswith("error: node-1 did not start: cannot listen on 127.0.0.1:")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
