"""Reading: by `_id`, from an `_id` on, and what is damaged is named."""

from __future__ import annotations

from typing import Any

import pytest
from bson import ObjectId
from tests.recovery.snapshots.conftest import Bucket
from tests.recovery.snapshots.test_taking import AWKWARD_IDS

from blackstart.errors import (
    DigestMismatchError,
    NotFoundError,
    ObjectNotFoundError,
    UsageError,
)
from blackstart.recovery.snapshots import Sealer, Snapshots
from blackstart.recovery.snapshots.keys import MANIFESTS, chunk_key

KEY = "00" * 32


async def test_every_document_is_found_by_its_id_and_no_other(bucket: Bucket) -> None:
    database = bucket.bench.store.database
    await database["odd"].insert_many({"_id": key, "n": n} for n, key in enumerate(AWKWARD_IDS))
    reader = await bucket.snapshots.open((await bucket.take()).id)
    for number, key in enumerate(AWKWARD_IDS):
        found = await reader.get("odd", key)
        assert found is not None, key
        assert found["n"] == number
    assert (await reader.get("odd", 1.0))["n"] == 1, "numbers compare across their types"
    for absent in ("b", 3, ObjectId("f" * 24), {"a": 3}, [1]):
        assert await reader.get("odd", absent) is None
    assert await reader.get("nothing", 1) is None


async def test_a_look_up_reads_one_chunk(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = await bucket.snapshots.open((await bucket.take()).id)
    read: list[str] = []
    get = type(bucket.bench.objects).get

    async def watch(self: Any, key: str) -> bytes:
        read.append(key)
        return await get(self, key)

    monkeypatch.setattr(type(bucket.bench.objects), "get", watch)
    assert await reader.get("deploys", "017") is not None
    assert await reader.get("deploys", "017") is not None
    assert len(read) == 1
    assert len(reader.chunk_list("deploys")) > 4


async def test_a_scan_begins_where_it_is_told(bucket: Bucket) -> None:
    reader = await bucket.snapshots.open((await bucket.take()).id)
    for start in (0, 1, 17, 39):
        found = [raw["_id"] async for raw in reader.scan("deploys", start=f"{start:03}")]
        assert found == [f"{number:03}" for number in range(start, 40)]
    assert [raw async for raw in reader.scan("deploys", start="9")] == []


@pytest.mark.parametrize("damage", ["truncated", "flipped", "swapped", "empty", "missing"])
async def test_a_damaged_chunk_is_named_and_nothing_of_it_is_believed(
    bucket: Bucket, damage: str
) -> None:
    taken = await bucket.take()
    reader = await bucket.snapshots.open(taken.id)
    first, second, *_ = reader.chunk_list("deploys")
    objects = bucket.bench.objects
    data = await objects.get(chunk_key(second.name))
    middle = len(data) // 2
    changed = {
        "truncated": data[:-5],
        "flipped": data[:middle] + bytes([data[middle] ^ 8]) + data[middle + 1 :],
        "swapped": await objects.get(chunk_key(first.name)),
        "empty": b"",
    }
    if damage == "missing":
        await objects.delete([chunk_key(second.name)])
    else:
        await objects.put(chunk_key(second.name), changed[damage])
    seen = []
    with pytest.raises((DigestMismatchError, ObjectNotFoundError)) as caught:
        async for raw in reader.scan("deploys"):
            seen.append(raw)
    assert len(seen) == first.count
    for word in (taken.id, "deploys", second.digest):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "change", [lambda d: d[:-1], lambda d: b"", lambda d: d.replace(b"deploys", b"deplays"),
               lambda d: d[: len(d) // 2], lambda d: d + b" ", lambda d: b"0" * 64 + d[64:]]
)  # fmt: skip
async def test_a_damaged_manifest_is_listed_as_damaged_and_not_opened(
    bucket: Bucket, change: Any
) -> None:
    good, bad = await bucket.take(), await bucket.take()
    key = f"{MANIFESTS}{bad.id}"
    await bucket.bench.objects.put(key, change(await bucket.bench.objects.get(key)))
    listing = await bucket.snapshots.listing()
    assert listing.snapshots == (good,)
    assert [each.id for each in listing.damaged] == [bad.id]
    with pytest.raises(DigestMismatchError, match="damaged"):
        await bucket.snapshots.open(bad.id)


async def test_a_manifest_under_another_name_is_not_believed(bucket: Bucket) -> None:
    taken = await bucket.take()
    other = "20170202T171700000Z-000000"
    objects = bucket.bench.objects
    await objects.put(f"{MANIFESTS}{other}", await objects.get(f"{MANIFESTS}{taken.id}"))
    with pytest.raises(DigestMismatchError, match="it is that of"):
        await bucket.snapshots.open(other)


async def test_an_id_that_is_none_and_one_that_nobody_took(bucket: Bucket) -> None:
    with pytest.raises(UsageError, match="snapshot list"):
        await bucket.snapshots.open("../deploys")
    with pytest.raises(NotFoundError, match="no snapshot"):
        await bucket.snapshots.open("20170202T171700000Z-000000")


async def test_a_sealed_snapshot_is_read_with_its_key_alone(bucket: Bucket) -> None:
    sealed = Snapshots(bucket.bench.objects, sealer=Sealer.from_text(KEY))
    taken = await bucket.take(sealed)
    assert await bucket.held(taken, sealed) == await bucket.database()
    assert [each.sealed for each in await bucket.snapshots.all()] == [True]
    with pytest.raises(UsageError, match="BLACKSTART_SNAPSHOT_KEY"):
        await bucket.snapshots.open(taken.id)
    with pytest.raises(DigestMismatchError, match="another key"):
        await Snapshots(bucket.bench.objects, sealer=Sealer.from_text("11" * 32)).open(taken.id)
    for key in await bucket.bench.objects.list_keys("snapshots/"):
        assert b"metadata" not in await bucket.bench.objects.get(key)


async def test_sealed_snapshots_share_chunks_too_and_names_tell_nothing(bucket: Bucket) -> None:
    plain = await bucket.take()
    sealed = Snapshots(bucket.bench.objects, sealer=Sealer.from_text(KEY))
    first, second = await bucket.take(sealed), await bucket.take(sealed)
    assert second.stored_bytes == 0 < first.stored_bytes
    names = (await bucket.snapshots.manifest(plain.id)).names()
    assert names.isdisjoint((await sealed.manifest(first.id)).names())


@pytest.mark.parametrize("text", ["", "short", "zz" * 32, "00" * 31])
def test_a_key_that_is_none_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(UsageError, match="not a key") as caught:
        Sealer.from_text(text)
    assert not text or text not in str(caught.value)
