"""A drill that is ended from outside leaves nothing, whatever it was doing."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.cli.test_drill import PATIENCE_S, start_small

Until = Callable[[Callable[[], bool]], Any]

ENDINGS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -signal.SIGKILL}


@pytest.mark.parametrize(
    ("phase", "signals"),
    [
        ("starting", [signal.SIGTERM]),
        ("building the fleet", [signal.SIGINT, signal.SIGKILL]),
        pytest.param("warming the caches", [signal.SIGTERM], marks=pytest.mark.slow),
        pytest.param(
            "outage and response", [signal.SIGINT, signal.SIGKILL], marks=pytest.mark.slow
        ),
    ],
)
async def test_a_drill_that_is_ended_leaves_no_process_and_no_folder(
    tmp_path: Path, until: Until, phase: str, signals: list[signal.Signals]
) -> None:
    running = {signum: start_small(tmp_path / signum.name, "0", []) for signum in signals}
    try:
        for signum, process in running.items():
            _end_in(process, phase, signum)
        for signum, process in running.items():
            out, err = process.communicate(timeout=PATIENCE_S)
            assert (process.returncode, out) == (ENDINGS[signum], ""), err
            assert "Traceback" not in err
    finally:
        for process in running.values():
            process.kill()
    for signum in signals:
        folder = tmp_path / signum.name
        await until(lambda folder=folder: not list((folder / "tmp").iterdir()))
        assert list((folder / "out").iterdir()) == []
    await until(lambda: not _processes_that_know(str(tmp_path)))


def _end_in(process: subprocess.Popen[str], phase: str, signum: signal.Signals) -> None:
    """Wait until the drill says that it is in the phase, and send the signal."""
    assert process.stderr is not None
    for line in process.stderr:
        if line == f"{phase} ...\n":
            process.send_signal(signum)
            return
    raise AssertionError(f"the drill never said {phase!r}")


def _processes_that_know(folder: str) -> list[psutil.Process]:
    """Processes that have the folder in their environment or command line."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            known = [process.environ().get("TMPDIR", ""), *process.cmdline()]
            if process.pid != os.getpid() and any(folder in text for text in known):
                found.append(process)
    return found
