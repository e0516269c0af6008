"""Which writer a process is: names come from a folder's own id, and a lock holds each."""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from blackstart.durable import make_folder, replace_file
from blackstart.errors import ConflictError
from blackstart.store.backend import storage_errors
from blackstart.store.ledger.segment import Ledger

ID_FILE = "id"
LOCK_FILE = "lock"
MAX_WRITERS = 1_000
_ID = re.compile(r"[0-9a-f]{8}")


class Claim:
    """The right to write as one writer; the kernel takes it back when the process dies."""

    def __init__(self, writer: str, lock: IO[Any]) -> None:
        self.writer = writer
        self._lock = lock

    def release(self) -> None:
        self._lock.close()


def claim_free(ledger: Ledger, folder: Path, role: str, new_id: str) -> Claim:
    """Be the first writer of a role that nobody is: `control-1-`, `control-2-` and so on.

    A folder that has no id yet gets `new_id`, 8 hex digits; it keeps apart the
    writers of several folders that share an object store.
    Raises: StorageError; ConflictError when there are absurdly many.
    """
    folder_id = _folder_id(ledger, folder, new_id)
    for number in range(1, MAX_WRITERS + 1):
        claim = _try_claim(folder, f"{role}-{number}-{folder_id}")
        if claim is not None:
            return claim
    raise ConflictError(f"{MAX_WRITERS} processes write a {ledger.title} in {folder} already")


def claim_writer(folder: Path, writer: str) -> Claim:
    """Be exactly this writer. Raises: StorageError; ConflictError when another process is."""
    claim = _try_claim(folder, writer)
    if claim is None:
        raise ConflictError(
            f"the ledger of {writer} in {folder} is being written by another process",
            hint="end that one first",
        )
    return claim


def is_claimed(folder: Path, writer: str) -> bool:
    """Whether a process is this writer at this moment. Raises: StorageError."""
    if not (folder / _lock_name(writer)).exists():
        return False
    claim = _try_claim(folder, writer, shared=True)
    if claim is not None:
        claim.release()
    return claim is None


def writers_in(folder: Path, ledger: Ledger) -> list[str]:
    """The writers with segments in a folder, sorted. Raises: StorageError."""
    with storage_errors(f"cannot look into {folder}"):
        names = (ledger.of_file(path.name) for path in folder.iterdir())
        return sorted({name.writer for name in names if name is not None})


def _try_claim(folder: Path, writer: str, *, shared: bool = False) -> Claim | None:
    # A reader need not be allowed to write.
    mode, how = ("r", fcntl.LOCK_SH) if shared else ("a", fcntl.LOCK_EX)
    with storage_errors(f"cannot use the ledger in {folder}"):
        lock = (folder / _lock_name(writer)).open(mode, encoding="ascii")
        try:
            fcntl.flock(lock, how | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return None
        except BaseException:
            lock.close()
            raise
    return Claim(writer, lock)


def _folder_id(ledger: Ledger, folder: Path, new_id: str) -> str:
    assert _ID.fullmatch(new_id), f"not an id: {new_id!r}"
    with storage_errors(f"cannot write a {ledger.title} in {folder}"):
        make_folder(folder)
        with _locked(folder / LOCK_FILE):
            path = folder / ID_FILE
            found = path.read_text(encoding="ascii", errors="replace") if path.exists() else ""
            if _ID.fullmatch(found.strip()):
                return found.strip()
            replace_file(path, f"{new_id}\n".encode())
            return new_id


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _lock_name(writer: str) -> str:
    return f"{writer}.lock"
