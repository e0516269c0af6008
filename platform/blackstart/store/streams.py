"""Streams of bytes into the object store: checked on the way, and never half stored."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

import obstore
from obstore.store import ObjectStore as Backend

from blackstart.errors import DigestMismatchError, TooLargeError
from blackstart.store.backend import storage_errors

PART_BYTES = 5 * 1024 * 1024
"""The least that S3 takes as a part of a multipart upload (all but the last one)."""

SINGLE_PUT_BYTES = 1024 * 1024
"""Bodies up to this size go out as one put: a multipart upload costs three requests."""

PARTS_AT_ONCE = 2


class CheckedStream:
    """Passes chunks on and ends with an error unless they have their digest.

    Who commits only after the end commits no wrong byte.
    Raises, while being read: TooLargeError, DigestMismatchError.
    """

    def __init__(self, chunks: AsyncIterable[bytes], sha1: str, *, max_bytes: int) -> None:
        self.size = 0
        """Bytes that came through so far."""
        self._chunks = chunks
        self._sha1 = sha1
        self._max_bytes = max_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        digest = hashlib.sha1(usedforsecurity=False)
        async for chunk in self._chunks:
            self.size += len(chunk)
            if self.size > self._max_bytes:
                raise TooLargeError(
                    f"content for {self._sha1} has more than {self._max_bytes:,} bytes"
                )
            digest.update(chunk)
            yield chunk
        require_digest(digest.hexdigest(), self._sha1)


def require_digest(found: str, sha1: str) -> None:
    """Raises: DigestMismatchError when they differ."""
    if found != sha1:
        raise DigestMismatchError(f"content did not match its digest {sha1}: it is {found}")


async def put_remote(backend: Backend, key: str, chunks: AsyncIterable[bytes]) -> None:
    """Store what `chunks` gives, once it has ended well: one put if small, else in parts.

    What `chunks` raises, cancellation too, aborts the upload and is passed on.
    Raises: StorageError.
    """
    upload: _Multipart | None = None
    part = bytearray()
    try:
        async for chunk in chunks:
            part += chunk
            if len(part) > SINGLE_PUT_BYTES:
                upload = upload or _Multipart(backend, key)
                await upload.send(bytes(part))
                part.clear()
        if upload is None:
            with storage_errors(f"cannot write {key}"):
                await obstore.put_async(backend, key, bytes(part))
        else:
            await upload.finish(bytes(part))
    except BaseException:
        if upload is not None:
            await upload.abort()
        raise


class _Multipart:
    """One upload in parts, fed by its caller.

    obstore aborts an upload when its source raises, but not when its own
    future is cancelled: S3 then keeps the parts, unseen and paid for. So the
    future is never cancelled; it is made to end by an error from its source.
    """

    def __init__(self, backend: Backend, key: str) -> None:
        self._failure = f"cannot write {key}"
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=1)
        self._aborted = asyncio.Event()
        self._upload: asyncio.Future[Any] = asyncio.ensure_future(
            obstore.put_async(
                backend,
                key,
                self._source(),
                use_multipart=True,
                chunk_size=PART_BYTES,
                max_concurrency=PARTS_AT_ONCE,
            )
        )

    async def send(self, chunk: bytes | None) -> None:
        """Hand over a chunk. Raises: StorageError when the upload has failed."""
        sending = asyncio.ensure_future(self._chunks.put(chunk))
        try:
            await asyncio.wait({sending, self._upload}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
        if self._upload.done():
            with storage_errors(self._failure):
                self._upload.result()

    async def finish(self, last: bytes) -> None:
        if last:
            await self.send(last)
        await self.send(None)
        with storage_errors(self._failure):
            await asyncio.shield(self._upload)

    async def abort(self) -> None:
        """End the upload and wait until its parts are gone."""
        self._aborted.set()
        while not self._chunks.empty():
            self._chunks.get_nowait()
        self._chunks.put_nowait(None)
        await ended(self._upload)

    async def _source(self) -> AsyncIterator[bytes]:
        while True:
            chunk = await self._chunks.get()
            if self._aborted.is_set():
                raise _AbortedError
            if chunk is None:
                return
            yield chunk


class _AbortedError(Exception):
    """Tells obstore to abort the upload."""


async def ended(work: asyncio.Future[Any]) -> None:
    """Wait for the end of work that must not be cut short, however often the caller is cancelled.

    Its failure is taken note of only: the caller has an error of its own to raise.
    """
    while not work.done():
        try:
            await asyncio.wait({work})
        except asyncio.CancelledError:
            continue
    if not work.cancelled():
        work.exception()
