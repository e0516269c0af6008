"""The object store: blobs and trees under their digests, in a folder, in memory or in S3.

Content-addressed: a key is the digest of its bytes, so equal content is
stored once and a write is verified before it counts. `obstore` makes each
write atomic (temporary object, then rename or commit).
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, MemoryStore, from_url
from obstore.store import ObjectStore as Backend

from blackstart.errors import (
    DigestMismatchError,
    ObjectNotFoundError,
    StorageError,
    UsageError,
)
from blackstart.model.tree import Tree

CHUNK_BYTES = 256 * 1024
_NO_BLOB = "0" * 40


def open_backend(url: str) -> Backend:
    """A backend from a URL: `memory://`, a folder's path or `file://`, `s3://bucket/prefix`.

    Raises: UsageError for anything else; StorageError when the folder cannot be made.
    """
    if url == "memory://":
        return MemoryStore()
    if "://" not in url or url.startswith("file://"):
        folder = Path(url.removeprefix("file://"))
        try:
            return LocalStore(str(folder.absolute()), mkdir=True)
        except (BaseError, OSError) as error:
            raise StorageError(f"cannot open the object store {folder}: {_line(error)}") from error
    try:
        return from_url(url)
    except (BaseError, ValueError) as error:
        raise UsageError(
            f"cannot open the object store {url}: {_line(error)}",
            hint="use a folder, memory:// or s3://bucket/prefix",
        ) from error


class ObjectStore:
    """Blobs, trees and named objects over one backend.

    Raises (all methods): StorageError when the backend fails.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        # Memory never blocks, so its calls need no thread and cost a hundredth.
        self._in_memory = isinstance(backend, MemoryStore)

    @classmethod
    def open(cls, url: str) -> ObjectStore:
        """From a URL, as `open_backend` reads it."""
        return cls(open_backend(url))

    async def put_blob(self, data: bytes, sha1: str) -> None:
        """Store one file's bytes. Raises: DigestMismatchError; nothing is stored then."""
        found = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        if found != sha1:
            raise DigestMismatchError(f"content did not match its digest {sha1}: it is {found}")
        await self.put(blob_key(sha1), data)

    async def has_blob(self, sha1: str) -> bool:
        """Whether the blob is stored: the object store itself is asked."""
        key = blob_key(sha1)
        try:
            if self._in_memory:
                obstore.head(self.backend, key)
            else:
                await obstore.head_async(self.backend, key)
        except FileNotFoundError:
            return False
        except (BaseError, OSError) as error:
            raise StorageError(f"cannot look up blob {sha1}: {_line(error)}") from error
        return True

    async def get_blob(self, sha1: str) -> bytes:
        """One file's bytes. Raises: ObjectNotFoundError."""
        return await self.get(blob_key(sha1))

    async def stream_blob(
        self, sha1: str, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        """Bytes `start` to `end` (exclusive) of a blob, in chunks of about 256 KiB.

        The blob is opened before this returns, so a missing one is known
        before the first byte goes out. Raises: ObjectNotFoundError.
        """
        key = blob_key(sha1)
        options: Any = None
        if start or end is not None:
            options = {"range": (start, end) if end is not None else {"offset": start}}
        try:
            result = await obstore.get_async(self.backend, key, options=options)
        except FileNotFoundError as error:
            raise ObjectNotFoundError(f"no object {key}") from error
        except (BaseError, OSError) as error:
            raise StorageError(f"cannot read {key}: {_line(error)}") from error
        return _chunks(result, key)

    async def put_tree(self, tree: Tree) -> str:
        """Store a tree; returns its id."""
        data = tree.encode()
        tree_id = hashlib.sha256(data).hexdigest()
        await self.put(tree_key(tree_id), data)
        return tree_id

    async def get_tree(self, tree_id: str) -> Tree:
        """Read a tree and check its digest. Raises: ObjectNotFoundError, DigestMismatchError."""
        data = await self.get(tree_key(tree_id))
        if hashlib.sha256(data).hexdigest() != tree_id:
            raise DigestMismatchError(f"tree {tree_id} is damaged: its bytes have another digest")
        return Tree.decode(data)

    async def put(self, key: str, data: bytes) -> None:
        """Store bytes under a name of the caller's."""
        try:
            if self._in_memory:
                obstore.put(self.backend, key, data)
            else:
                await obstore.put_async(self.backend, key, data)
        except (BaseError, OSError) as error:
            raise StorageError(f"cannot write {key}: {_line(error)}") from error

    async def get(self, key: str) -> bytes:
        """Bytes stored under a name. Raises: ObjectNotFoundError."""
        try:
            if self._in_memory:
                return bytes(obstore.get(self.backend, key).bytes())
            result = await obstore.get_async(self.backend, key)
            return bytes(await result.bytes_async())
        except FileNotFoundError as error:
            raise ObjectNotFoundError(f"no object {key}") from error
        except (BaseError, OSError) as error:
            raise StorageError(f"cannot read {key}: {_line(error)}") from error

    async def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; one that is gone already is fine."""
        for key in keys:
            try:
                await obstore.delete_async(self.backend, key)
            except FileNotFoundError:
                continue
            except (BaseError, OSError) as error:
                raise StorageError(f"cannot delete {key}: {_line(error)}") from error

    async def ping(self) -> None:
        """Ask for one object that need not exist: an answer of any kind will do."""
        if isinstance(self.backend, LocalStore) and not Path(str(self.backend.prefix)).is_dir():
            raise StorageError(f"the object store's folder {self.backend.prefix} is gone")
        await self.has_blob(_NO_BLOB)

    async def list_keys(self, prefix: str) -> list[str]:
        """All keys below a prefix, sorted."""
        try:
            metas = await obstore.list(self.backend, prefix=prefix).collect_async()
        except (BaseError, OSError) as error:
            raise StorageError(f"cannot list {prefix}: {_line(error)}") from error
        return sorted(meta["path"] for meta in metas)


def blob_key(sha1: str) -> str:
    """Where a blob lives: two hex digits of fan-out, so that no folder grows too wide."""
    return f"blobs/{sha1[:2]}/{sha1[2:]}"


def tree_key(tree_id: str) -> str:
    """Where a tree lives."""
    return f"trees/{tree_id[:2]}/{tree_id[2:]}"


async def _chunks(result: obstore.GetResult, key: str) -> AsyncIterator[bytes]:
    try:
        async for chunk in result.stream(min_chunk_size=CHUNK_BYTES):
            yield bytes(chunk)
    except (BaseError, OSError) as error:
        raise StorageError(f"reading {key} broke off: {_line(error)}") from error


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
