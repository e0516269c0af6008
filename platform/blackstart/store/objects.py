"""The object store: blobs and trees under their digests, in a folder, in memory or in S3.

Content-addressed: a key is the digest of its bytes, so equal content is
stored once and a write is verified before it counts. A write is atomic, and
durable when it has returned.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Collection, Iterable
from operator import itemgetter
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, MemoryStore
from obstore.store import ObjectStore as Backend

from blackstart.errors import DigestMismatchError, ObjectNotFoundError, StorageError
from blackstart.model.tree import Tree
from blackstart.store.backend import error_line, open_backend
from blackstart.store.folder import Folder
from blackstart.store.streams import CheckedStream, put_remote, require_digest

CHUNK_BYTES = 256 * 1024
LOOKUPS_AT_ONCE = 32
_NO_BLOB = "0" * 40


class ObjectStore:
    """Blobs, trees and named objects over one backend.

    Raises (all methods): StorageError when the backend fails.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        # Memory never blocks, so its calls need no thread and cost a hundredth.
        self._in_memory = isinstance(backend, MemoryStore)
        self._folder = (
            Folder(Path(backend.prefix or "/")) if isinstance(backend, LocalStore) else None
        )

    @classmethod
    def open(cls, url: str) -> ObjectStore:
        """From a URL, as `open_backend` reads it."""
        return cls(open_backend(url))

    async def put_blob(self, data: bytes, sha1: str) -> None:
        """Store one file's bytes. Raises: DigestMismatchError; nothing is stored then."""
        require_digest(hashlib.sha1(data, usedforsecurity=False).hexdigest(), sha1)
        await self.put(blob_key(sha1), data)

    async def put_blob_stream(
        self, chunks: AsyncIterable[bytes], sha1: str, *, max_bytes: int
    ) -> int:
        """Store one file's bytes as they come; returns their number.

        A few MiB are held, whatever the size (memory keeps it all, of course).
        Nothing is stored when this raises, or is cancelled before the last
        byte; what `chunks` raises is passed on.

        Raises: DigestMismatchError; TooLargeError.
        """
        key, checked = blob_key(sha1), CheckedStream(chunks, sha1, max_bytes=max_bytes)
        if self._in_memory:
            await self.put(key, b"".join([chunk async for chunk in checked]))
        elif self._folder is not None:
            await self._folder.write_stream(key, checked)
        else:
            await put_remote(self.backend, key, checked)
        return checked.size

    async def has_blob(self, sha1: str) -> bool:
        """Whether the blob is stored: the object store itself is asked."""
        return await self._size(blob_key(sha1)) is not None

    async def stat_blobs(self, sha1s: Collection[str]) -> dict[str, int]:
        """The sizes in bytes of those blobs that are stored."""
        keys = {blob_key(sha1): sha1 for sha1 in sha1s}
        if self._folder is not None:
            sizes = await self._folder.sizes(keys)
        else:
            sizes = await self._sizes(keys)
        return {keys[key]: size for key, size in sizes.items()}

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
            raise StorageError(f"cannot read {key}: {error_line(error)}") from error
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
        if self._folder is not None:
            await self._folder.write(key, data)
            return
        try:
            if self._in_memory:
                obstore.put(self.backend, key, data)
            else:
                await obstore.put_async(self.backend, key, data)
        except (BaseError, OSError) as error:
            raise StorageError(f"cannot write {key}: {error_line(error)}") from error

    async def put_new(self, key: str, data: bytes) -> bool:
        """As `put`, unless something is there; False, and nothing stored, when there is.

        Of several that try at once one succeeds. To S3 it is a conditional write.
        """
        if self._folder is not None:
            return await self._folder.write_new(key, data)
        try:
            if self._in_memory:
                obstore.put(self.backend, key, data, mode="create")
            else:
                await obstore.put_async(self.backend, key, data, mode="create")
        except AlreadyExistsError:
            # A write that was repeated since its answer was lost meets itself.
            return not self._in_memory and await self.get(key) == data
        except (BaseError, OSError) as error:
            raise StorageError(f"cannot write {key}: {error_line(error)}") from error
        return True

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
            raise StorageError(f"cannot read {key}: {error_line(error)}") from error

    async def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; one that is gone already is fine."""
        for key in keys:
            try:
                await obstore.delete_async(self.backend, key)
            except FileNotFoundError:
                continue
            except (BaseError, OSError) as error:
                raise StorageError(f"cannot delete {key}: {error_line(error)}") from error

    async def ping(self) -> None:
        """Ask for one object that need not exist: an answer of any kind will do."""
        if isinstance(self.backend, LocalStore) and not Path(str(self.backend.prefix)).is_dir():
            raise StorageError(f"the object store's folder {self.backend.prefix} is gone")
        await self.has_blob(_NO_BLOB)

    async def list_keys(self, prefix: str) -> list[str]:
        """All keys below a prefix, sorted."""
        return list(await self.list_sizes(prefix))

    async def list_sizes(self, prefix: str) -> dict[str, int]:
        """All keys below a prefix, sorted, and the sizes of the objects in bytes."""
        try:
            metas = await obstore.list(self.backend, prefix=prefix).collect_async()
        except (BaseError, OSError) as error:
            raise StorageError(f"cannot list {prefix}: {error_line(error)}") from error
        return {meta["path"]: meta["size"] for meta in sorted(metas, key=itemgetter("path"))}

    async def _sizes(self, keys: Iterable[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        waiting = iter(keys)

        async def ask() -> None:
            for key in waiting:
                size = await self._size(key)
                if size is not None:
                    found[key] = size

        if self._in_memory:
            await ask()
            return found
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(LOOKUPS_AT_ONCE):
                    group.create_task(ask())
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return found

    async def _size(self, key: str) -> int | None:
        try:
            if self._in_memory:
                return int(obstore.head(self.backend, key)["size"])
            return int((await obstore.head_async(self.backend, key))["size"])
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            raise StorageError(f"cannot look up {key}: {error_line(error)}") from error


async def one_chunk(data: bytes) -> AsyncIterator[bytes]:
    """Bytes in memory as a stream."""
    yield data


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
        raise StorageError(f"reading {key} broke off: {error_line(error)}") from error
