"""The backends of the object store: a folder, memory or S3, by URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from obstore.exceptions import BaseError
from obstore.store import LocalStore, MemoryStore, from_url
from obstore.store import ObjectStore as Backend

from blackstart.errors import StorageError, UsageError


def open_backend(url: str) -> Backend:
    """A backend from a URL: `memory://`, a folder's path or `file://`, `s3://bucket/prefix`.

    Raises: UsageError for anything else; StorageError when the folder cannot be made.
    """
    if url == "memory://":
        return MemoryStore()
    if "://" not in url or url.startswith("file://"):
        return _open_folder(url)
    try:
        return from_url(url)
    except (BaseError, ValueError) as error:
        raise _no_such_store(url, error_line(error)) from error


def _open_folder(url: str) -> LocalStore:
    path = url.removeprefix("file://")
    if not path:
        # The current folder would be a surprising place to fill with blobs.
        raise _no_such_store(repr(url), "it is empty")
    with storage_errors(f"cannot open the object store {path}"):
        return LocalStore(str(Path(path).absolute()), mkdir=True)


def _no_such_store(url: str, reason: str) -> UsageError:
    return UsageError(
        f"cannot open the object store {url}: {reason}",
        hint="use a folder, memory:// or s3://bucket/prefix",
    )


@contextmanager
def storage_errors(failure: str) -> Iterator[None]:
    """Turns what a disk or a backend raises into a StorageError that starts with `failure`."""
    try:
        yield
    except (BaseError, OSError) as error:
        raise StorageError(f"{failure}: {error_line(error)}") from error


def error_line(error: Exception) -> str:
    """What went wrong, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
