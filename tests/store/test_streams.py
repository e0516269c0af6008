"""Blobs that come as streams: whole and right, or not there at all. Over every backend."""

from __future__ import annotations

import asyncio
import hashlib
import os
import resource
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from blackstart.errors import DigestMismatchError, StorageError, TooLargeError
from blackstart.store import ObjectStore
from blackstart.store.folder import WRITE_BYTES
from blackstart.store.objects import blob_key
from blackstart.store.streams import PART_BYTES, SINGLE_PUT_BYTES

MAX = 64 * 1024 * 1024
SMALL = b"<h1>hello</h1>"
LARGE = bytes(range(251)) * (3 * PART_BYTES // 251)
SIZES = [0, 1, WRITE_BYTES - 1, WRITE_BYTES, WRITE_BYTES + 1, SINGLE_PUT_BYTES + 7, PART_BYTES]


@pytest.fixture(params=["memory", "folder", "s3"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def objects(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if kind == "s3":
        return ObjectStore.open(request.getfixturevalue("bucket"))
    return ObjectStore.open("memory://" if kind == "memory" else str(tmp_path / "objects"))


@pytest.fixture
def leftovers(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], int]:
    """Counts what no listing shows: temporary files, or parts of unfinished uploads."""
    if kind == "s3":
        count: Callable[[], int] = request.getfixturevalue("unfinished_uploads")
        return count
    return lambda: len([path for path in tmp_path.rglob("*") if "#" in path.name])


def sha1_of(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


async def chunks_of(data: bytes, size: int = 64 * 1024) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.mark.parametrize("data", [bytes(size) for size in SIZES] + [LARGE], ids=len)
async def test_a_stream_is_stored_as_it_came(objects: ObjectStore, data: bytes) -> None:
    assert await objects.put_blob_stream(chunks_of(data), sha1_of(data), max_bytes=MAX) == len(data)
    assert await objects.get_blob(sha1_of(data)) == data


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
async def test_wrong_bytes_are_not_stored(
    objects: ObjectStore, data: bytes, leftovers: Callable[[], int]
) -> None:
    with pytest.raises(DigestMismatchError, match="did not match"):
        await objects.put_blob_stream(chunks_of(data + b"!"), sha1_of(data), max_bytes=MAX)
    assert await objects.list_keys("") == []
    assert leftovers() == 0


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
async def test_one_byte_too_many_is_refused_and_the_last_allowed_is_not(
    objects: ObjectStore, data: bytes, leftovers: Callable[[], int]
) -> None:
    with pytest.raises(TooLargeError, match="more than"):
        await objects.put_blob_stream(chunks_of(data), sha1_of(data), max_bytes=len(data) - 1)
    assert await objects.list_keys("") == []
    assert leftovers() == 0
    await objects.put_blob_stream(chunks_of(data), sha1_of(data), max_bytes=len(data))


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("failure", [ConnectionResetError("gone"), ValueError("broken")])
async def test_a_stream_that_breaks_off_leaves_nothing_and_tells_why(
    objects: ObjectStore, data: bytes, failure: Exception, leftovers: Callable[[], int]
) -> None:
    async def broken() -> AsyncIterator[bytes]:
        async for chunk in chunks_of(data):
            yield chunk
        raise failure

    with pytest.raises(type(failure), match=str(failure)):
        await objects.put_blob_stream(broken(), sha1_of(data), max_bytes=MAX)
    assert await objects.list_keys("") == []
    assert leftovers() == 0


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
async def test_a_cancelled_upload_leaves_nothing(
    objects: ObjectStore, data: bytes, leftovers: Callable[[], int]
) -> None:
    stalled = asyncio.Event()

    async def stalling() -> AsyncIterator[bytes]:
        async for chunk in chunks_of(data):
            yield chunk
        stalled.set()
        await asyncio.Event().wait()

    upload = asyncio.create_task(objects.put_blob_stream(stalling(), sha1_of(data), max_bytes=MAX))
    await stalled.wait()
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    assert await objects.list_keys("") == []
    assert leftovers() == 0


async def test_a_blob_that_is_stored_already_is_still_checked(objects: ObjectStore) -> None:
    await objects.put_blob(LARGE, sha1_of(LARGE))
    with pytest.raises(DigestMismatchError):
        await objects.put_blob_stream(chunks_of(LARGE[:-1]), sha1_of(LARGE), max_bytes=MAX)
    await objects.put_blob_stream(chunks_of(LARGE), sha1_of(LARGE), max_bytes=MAX)
    assert await objects.get_blob(sha1_of(LARGE)) == LARGE


async def test_a_cut_off_file_is_made_whole_by_the_next_upload(tmp_path: Path) -> None:
    objects = ObjectStore.open(str(tmp_path))
    await objects.put(blob_key(sha1_of(LARGE)), LARGE[:10])
    await objects.put_blob_stream(chunks_of(LARGE), sha1_of(LARGE), max_bytes=MAX)
    assert await objects.get_blob(sha1_of(LARGE)) == LARGE


async def test_two_streams_of_one_digest_do_not_disturb_each_other(
    objects: ObjectStore, leftovers: Callable[[], int]
) -> None:
    async with asyncio.TaskGroup() as group:
        for size in (60_000, 70_000):
            group.create_task(
                objects.put_blob_stream(chunks_of(LARGE, size), sha1_of(LARGE), max_bytes=MAX)
            )
    assert await objects.get_blob(sha1_of(LARGE)) == LARGE
    assert leftovers() == 0


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_file_is_on_the_disk_before_its_name_and_its_name_before_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streamed: bool
) -> None:
    objects = ObjectStore.open(str(tmp_path))
    await objects.put(blob_key(sha1_of(SMALL)), b"so that the folder exists")
    happened: list[str] = []

    def noting(name: str) -> None:
        real = getattr(os, name)

        def call(*arguments: object) -> None:
            happened.append(name)
            real(*arguments)

        monkeypatch.setattr(os, name, call)

    noting("fsync")
    noting("rename")
    if streamed:
        await objects.put_blob_stream(chunks_of(SMALL), sha1_of(SMALL), max_bytes=MAX)
    else:
        await objects.put_blob(SMALL, sha1_of(SMALL))
    assert happened == ["fsync", "rename", "fsync"]


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """Writes beyond `size` fail in the kernel, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_disk_that_takes_no_more_is_a_clear_error_and_nothing_is_left(
    tmp_path: Path,
) -> None:
    objects = ObjectStore.open(str(tmp_path))
    with files_limited_to(PART_BYTES):
        with pytest.raises(StorageError, match=r"cannot write blobs/.*: File too large"):
            await objects.put_blob_stream(chunks_of(LARGE), sha1_of(LARGE), max_bytes=MAX)
        with pytest.raises(StorageError, match=r"cannot write blobs/.*: File too large"):
            await objects.put_blob(LARGE, sha1_of(LARGE))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
async def test_a_bucket_that_is_not_there_is_a_clear_error(bucket: str, data: bytes) -> None:
    objects = ObjectStore.open(f"{bucket}-gone")
    with pytest.raises(StorageError, match="cannot write blobs/"):
        await objects.put_blob_stream(chunks_of(data), sha1_of(data), max_bytes=MAX)


async def test_an_upload_that_has_failed_reads_no_further(bucket: str) -> None:
    objects = ObjectStore.open(f"{bucket}-gone")
    read = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal read
        async for chunk in chunks_of(LARGE):
            read += len(chunk)
            yield chunk

    with pytest.raises(StorageError):
        await objects.put_blob_stream(counted(), sha1_of(LARGE), max_bytes=MAX)
    assert read < len(LARGE) // 2
