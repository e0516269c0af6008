"""Ending in order: SIGTERM cancels what runs, as Ctrl-C does, so that clean-up happens."""

from __future__ import annotations

import asyncio
import signal


def end_on_sigterm() -> None:
    """Let SIGTERM and SIGHUP cancel the running task."""
    task = asyncio.current_task()
    assert task is not None, "called from inside a task"
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(signum, task.cancel)
