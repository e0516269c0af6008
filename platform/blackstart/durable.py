"""Small files that a crash never leaves half-written: temporary, fsync, rename, fsync the folder.

The calls block; they are for settings, journals and keys, not for blobs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


def replace_file(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Put `data` in the place of the file at `path`; when this returns it is on the disk.

    Whoever reads meanwhile sees the old file or the new one. Raises: OSError,
    and then the old file is as it was.
    """
    with replacing_file(path, mode=mode) as file:
        file.write(data)


@contextmanager
def replacing_file(path: Path, *, mode: int = 0o600) -> Iterator[BinaryIO]:
    """As `replace_file`, for what is written bit by bit: it counts when the block ends well."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(unfinished)
        raise
    fsync_folder(path.parent)


def make_folder(folder: Path, *, mode: int = 0o777) -> None:
    """Make a folder and those above it, each known to the disk. Raises: OSError.

    `mode` is the folder's own, less the process's umask; one that is there keeps what it has.
    """
    if not folder.exists():
        make_folder(folder.parent)
        folder.mkdir(mode, exist_ok=True)
        fsync_folder(folder.parent)


def fsync_folder(folder: Path) -> None:
    """Have the disk know which files a folder holds. Raises: OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
