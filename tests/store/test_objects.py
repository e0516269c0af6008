"""The object store's contract, run over every backend."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from obstore.store import LocalStore, MemoryStore, S3Store

from blackstart.errors import (
    DigestMismatchError,
    ObjectNotFoundError,
    StorageError,
    UsageError,
)
from blackstart.model import Tree, TreeEntry
from blackstart.store import ObjectStore
from blackstart.store.backend import open_backend
from blackstart.store.objects import CHUNK_BYTES, blob_key, tree_key

PAGE = b"<h1>hello</h1>"
DIGEST = hashlib.sha1(PAGE, usedforsecurity=False).hexdigest()
LARGE = bytes(range(256)) * (3 * CHUNK_BYTES // 256) + b"end"
LARGE_DIGEST = hashlib.sha1(LARGE, usedforsecurity=False).hexdigest()


@pytest.fixture(params=["memory", "folder", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "s3":
        return ObjectStore.open(request.getfixturevalue("bucket"))
    return ObjectStore.open("memory://" if request.param == "memory" else str(tmp_path / "objects"))


def sha1_of(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


async def joined(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


async def test_a_blob_is_read_as_it_was_stored(objects: ObjectStore) -> None:
    await objects.put_blob(PAGE, DIGEST)
    assert await objects.get_blob(DIGEST) == PAGE
    assert await objects.has_blob(DIGEST)


async def test_an_empty_blob_is_a_blob(objects: ObjectStore) -> None:
    digest = hashlib.sha1(b"", usedforsecurity=False).hexdigest()
    await objects.put_blob(b"", digest)
    assert await objects.has_blob(digest)
    assert await objects.get_blob(digest) == b""


async def test_a_blob_with_another_digest_is_refused_and_nothing_is_stored(
    objects: ObjectStore,
) -> None:
    with pytest.raises(DigestMismatchError, match=DIGEST):
        await objects.put_blob(PAGE + b"!", DIGEST)
    assert not await objects.has_blob(DIGEST)
    assert await objects.list_keys("") == []


async def test_storing_a_blob_twice_is_fine(objects: ObjectStore) -> None:
    await objects.put_blob(PAGE, DIGEST)
    await objects.put_blob(PAGE, DIGEST)
    assert await objects.list_keys("blobs/") == [blob_key(DIGEST)]


async def test_what_is_missing_is_named_in_the_error(objects: ObjectStore) -> None:
    assert not await objects.has_blob(DIGEST)
    with pytest.raises(ObjectNotFoundError, match=blob_key(DIGEST)):
        await objects.get_blob(DIGEST)
    with pytest.raises(ObjectNotFoundError, match=blob_key(DIGEST)):
        await objects.stream_blob(DIGEST)
    with pytest.raises(ObjectNotFoundError, match=tree_key("0" * 64)):
        await objects.get_tree("0" * 64)


async def test_a_stream_is_all_of_the_blob_in_chunks(objects: ObjectStore) -> None:
    await objects.put_blob(LARGE, LARGE_DIGEST)
    chunks = [chunk async for chunk in await objects.stream_blob(LARGE_DIGEST)]
    assert b"".join(chunks) == LARGE


@pytest.mark.parametrize(
    ("start", "end"), [(0, 1), (1, None), (10, 20), (len(LARGE) - 3, None), (5, 10**9)]
)
async def test_a_stream_can_be_a_part(objects: ObjectStore, start: int, end: int | None) -> None:
    await objects.put_blob(LARGE, LARGE_DIGEST)
    assert await joined(await objects.stream_blob(LARGE_DIGEST, start, end)) == LARGE[start:end]


async def test_a_tree_is_stored_under_its_id(objects: ObjectStore) -> None:
    tree = Tree({"index.html": TreeEntry(DIGEST, len(PAGE))})
    assert await objects.put_tree(tree) == tree.id
    assert await objects.get_tree(tree.id) == tree


async def test_a_damaged_tree_is_noticed(objects: ObjectStore) -> None:
    tree = Tree({"index.html": TreeEntry(DIGEST, len(PAGE))})
    other = Tree({"index.html": TreeEntry(DIGEST, len(PAGE) + 1)})
    await objects.put_tree(tree)
    await objects.put(tree_key(tree.id), other.encode())
    with pytest.raises(DigestMismatchError, match=tree.id):
        await objects.get_tree(tree.id)


async def test_of_several_writers_of_a_new_object_one_succeeds(objects: ObjectStore) -> None:
    values = [str(number).encode() for number in range(8)]
    won = await asyncio.gather(*(objects.put_new("a/b", value) for value in values))
    assert won.count(True) == 1
    assert await objects.get("a/b") == values[won.index(True)]
    assert not await objects.put_new("a/b", b"late")
    assert await objects.get("a/b") == values[won.index(True)]
    assert await objects.list_keys("") == ["a/b"]


async def test_deleting_what_is_gone_is_fine_and_the_rest_goes(objects: ObjectStore) -> None:
    await objects.put("a", b"1")
    await objects.put("c", b"3")
    await objects.delete(["a", "b", "c"])
    assert await objects.list_keys("") == []


async def test_keys_are_listed_below_their_prefix_in_order(objects: ObjectStore) -> None:
    for key in ("logs/b", "logs/a/1", "other/x"):
        await objects.put(key, b"")
    assert await objects.list_keys("logs/") == ["logs/a/1", "logs/b"]
    assert await objects.list_keys("none/") == []


async def test_named_objects_can_be_replaced(objects: ObjectStore) -> None:
    await objects.put("name", b"old")
    await objects.put("name", b"new")
    assert await objects.get("name") == b"new"


async def test_a_folder_keeps_its_objects(tmp_path: Path) -> None:
    await ObjectStore.open(str(tmp_path / "a" / "b")).put_blob(PAGE, DIGEST)
    assert await ObjectStore.open(f"file://{tmp_path}/a/b").get_blob(DIGEST) == PAGE


async def test_a_write_that_fails_leaves_the_old_bytes_and_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = ObjectStore.open(str(tmp_path / "objects"))
    await objects.put("names/one", b"old")
    (tmp_path / "objects" / "blocked").write_bytes(b"a file where a folder is needed")
    with pytest.raises(StorageError, match="cannot write blocked/one"):
        await objects.put("blocked/one", b"new")
    found = [path for path in (tmp_path / "objects").rglob("*") if path.is_file()]
    assert sorted(path.name for path in found) == ["blocked", "one"]
    assert await objects.get("names/one") == b"old"


async def test_a_reader_never_sees_half_of_a_write(tmp_path: Path) -> None:
    """A rename, not a write in place: who opened the old file goes on reading the old bytes."""
    objects = ObjectStore.open(str(tmp_path))
    await objects.put("name", b"old")
    with await asyncio.to_thread(open, tmp_path / "name", "rb") as reader:
        await objects.put("name", b"new")
        assert reader.read() == b"old"
    assert await objects.get("name") == b"new"


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StorageError, match="cannot open the object store"):
        open_backend(str(tmp_path / "file" / "objects"))


@pytest.mark.parametrize("url", ["nonsense://bucket", "s3://"])
def test_an_address_of_no_kind_we_know_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError, match="cannot open the object store"):
        open_backend(url)


def test_an_empty_address_is_not_the_current_folder() -> None:
    for url in ("", "file://"):
        with pytest.raises(UsageError, match=r"cannot open the object store '.*': it is empty"):
            ObjectStore.open(url)


def test_each_kind_of_address_opens_its_backend(tmp_path: Path) -> None:
    assert isinstance(open_backend("memory://"), MemoryStore)
    assert isinstance(open_backend(str(tmp_path)), LocalStore)


async def test_sizes_are_those_of_the_stored_blobs_only(objects: ObjectStore) -> None:
    blobs = {sha1_of(data): data for data in (b"", PAGE, *(b"%d" % n for n in range(40)))}
    for sha1, data in blobs.items():
        await objects.put_blob(data, sha1)
    absent = [sha1_of(b"absent %d" % number) for number in range(40)]
    expected = {sha1: len(data) for sha1, data in blobs.items()}
    assert await objects.stat_blobs([*absent, *blobs]) == expected
    assert await objects.stat_blobs([]) == {}


async def test_a_key_that_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    objects = ObjectStore.open(str(tmp_path / "objects"))
    for key in ("../x", "a/../../x", "/x", "a//b", "", "a/.", "a#1"):
        with pytest.raises(UsageError, match="not an object's key"):
            await objects.put(key, b"")


def test_no_two_digests_share_a_key() -> None:
    digests = [f"{number:040x}" for number in (0, 1, 2**152, 2**159)]
    keys: Callable[[str], str] = blob_key
    assert len({keys(digest) for digest in digests}) == len(digests)
    assert not any(
        blob_key(one) == tree_key(two) for one, two in itertools.product(digests, repeat=2)
    )


async def test_a_store_that_answers_is_reached(objects: ObjectStore) -> None:
    await objects.ping()


async def test_a_folder_that_is_gone_is_noticed(tmp_path: Path) -> None:
    objects = ObjectStore.open(str(tmp_path / "objects"))
    await objects.ping()
    (tmp_path / "objects").rmdir()
    with pytest.raises(StorageError, match="is gone"):
        await objects.ping()


async def test_a_bucket_that_nobody_serves_is_noticed() -> None:
    backend = S3Store(
        "bucket",
        endpoint="http://127.0.0.1:1",
        region="test",
        access_key_id="key",
        secret_access_key="secret",
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )
    with pytest.raises(StorageError):
        await ObjectStore(backend).ping()
