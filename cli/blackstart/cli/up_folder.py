"""The folder that one `up` keeps everything in: claimed, and free of an earlier run."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TextIO

EARLIER_RUN_TIMEOUT_S = 20.0
POLL_S = 0.05


async def claim_folder(data: Path | None, stack: AsyncExitStack) -> Path:
    """The data folder, ours alone; or a temporary one that is gone afterwards.

    Raises: StorageError when it cannot be made; ConflictError when it is in use.
    """
    from blackstart.process import temporary_folder

    if data is None:
        folder = temporary_folder("up")
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
    else:
        folder = data.absolute()
        stack.enter_context(_claimed(folder))
        await _wait_for_earlier_run(folder)
        shutil.rmtree(folder / "tmp", ignore_errors=True)
    for name in ("logs", "tmp"):
        (folder / name).mkdir(exist_ok=True)
    return folder


def _claimed(folder: Path) -> TextIO:
    """The folder's lock file, locked: the kernel lets go when it is closed or we are killed."""
    from blackstart.errors import ConflictError, StorageError

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / "lock", "a+", encoding="ascii")  # noqa: SIM115 (the caller closes it)
    except OSError as error:
        raise StorageError(f"cannot use the data folder {folder}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read().strip()
        lock.close()
        raise ConflictError(
            f"{folder} is in use by another `blackstart up` (process {holder})",
            hint="end that one first, or choose another --data",
        ) from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


async def _wait_for_earlier_run(folder: Path) -> None:
    """An `up` that was killed leaves its roles a few seconds to end; they hold a lock meanwhile."""
    from blackstart.cli.console import doing
    from blackstart.errors import ConflictError

    if _roles_ended(folder):
        return
    with doing("waiting for an earlier run to end"):
        for _ in range(int(EARLIER_RUN_TIMEOUT_S / POLL_S)):
            await asyncio.sleep(POLL_S)
            if _roles_ended(folder):
                return
    raise ConflictError(f"processes of an earlier run still use {folder}", hint="end them first")


def _roles_ended(folder: Path) -> bool:
    guard = folder / "guard" / "lock"
    return _is_free(folder / "roles.lock") and (not guard.exists() or _is_free(guard))


def _is_free(path: Path) -> bool:
    with open(path, "a", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
