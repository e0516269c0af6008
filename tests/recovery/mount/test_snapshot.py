"""A real snapshot, taken of a server and mounted: the same documents, and how little is read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import bson
import pytest
from bson import ObjectId, Regex
from pymongo.errors import OperationFailure
from tests.conftest import Bench
from tests.recovery.mount.conftest import Mounted, deploys, mounted_on

from blackstart.recovery.snapshots import Snapshots, cutting
from blackstart.recovery.snapshots.keys import CHUNKS, chunk_key
from blackstart.seed import Seed
from blackstart.store import ObjectStore


class CountingStore(ObjectStore):
    """An object store that notes what is read of it."""

    read: list[str]

    async def get(self, key: str) -> bytes:
        self.read.append(key)
        return await super().get(key)


@pytest.fixture
def objects() -> CountingStore:
    store = CountingStore.open("memory://")
    assert isinstance(store, CountingStore)
    store.read = []
    return store


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "TARGET_BYTES", 3_000)


@asynccontextmanager
async def mounted_copy(bench: Bench, objects: CountingStore) -> AsyncIterator[Mounted]:
    """What is in the database now, in a snapshot, mounted; nothing has been read of it yet."""
    snapshot = await Snapshots(objects).take(bench.store.database, bench.clock, Seed(3))
    objects.read.clear()
    reader = await Snapshots(objects).open(snapshot.id)
    async with mounted_on(reader, bench.clock, snapshot.database) as mounted:
        yield mounted


FILTERS: list[dict[str, Any]] = [
    {},
    {"site_id": "site-3"},
    {"number": {"$gte": 90}},
    {"metadata.file_count": {"$in": [1, 2]}, "state": "ready"},
    {"_id": {"$gt": f"{40:024x}"}},
    {"state": Regex("^ER", "i")},
    {"metadata": None},
]


@pytest.mark.usefixtures("small_chunks")
async def test_it_holds_what_the_database_held(bench: Bench, objects: CountingStore) -> None:
    live = bench.store.database["deploys"]
    await live.insert_many(deploys(100))
    odd = (ObjectId(), 5, -1.5)
    await live.insert_many([{"_id": each, "number": -n} for n, each in enumerate(odd)])
    async with mounted_copy(bench, objects) as mounted:
        copy = mounted.client[bench.store.database.name]["deploys"]
        for spec in FILTERS:
            for sort in ([("_id", 1)], [("state", -1), ("number", 1), ("_id", 1)]):
                there = await live.find(spec).sort(sort).to_list()
                here = await copy.find(spec).sort(sort).to_list()
                assert [bson.encode(each) for each in here] == [bson.encode(each) for each in there]
            assert await copy.count_documents(spec) == await live.count_documents(spec)
            sites = await live.distinct("site_id", spec)
            assert await copy.distinct("site_id", spec) == sorted(sites)
        assert await copy.index_information() == await live.index_information()
        await live.delete_many({})
        assert await copy.count_documents({}) == 103


@pytest.mark.usefixtures("small_chunks")
async def test_a_look_up_by_id_reads_the_manifest_and_one_chunk(
    bench: Bench, objects: CountingStore
) -> None:
    await bench.store.database["deploys"].insert_many(deploys(500))
    async with mounted_copy(bench, objects) as mounted:
        assert len(objects.read) == 1
        copy = mounted.client[bench.store.database.name]["deploys"]
        assert len(mounted.snapshot.chunk_list("deploys")) > 10
        for number in (250, 250, 9_999):
            await copy.find_one({"_id": f"{number:024x}"})
        assert len(objects.read) == 2
        assert objects.read[1].startswith(CHUNKS)
        await copy.find({"_id": {"$gte": f"{490:024x}"}}).to_list()
        assert len(objects.read) < len(mounted.snapshot.chunk_list("deploys"))


@pytest.mark.usefixtures("small_chunks")
async def test_a_damaged_chunk_is_named_and_the_rest_is_read(
    bench: Bench, objects: CountingStore
) -> None:
    await bench.store.database["deploys"].insert_many(deploys(200))
    async with mounted_copy(bench, objects) as mounted:
        copy = mounted.client[bench.store.database.name]["deploys"]
        first, *_, last = mounted.snapshot.chunk_list("deploys")
        await objects.put(chunk_key(first.name), b"nonsense")
        await objects.delete([chunk_key(last.name)])
        for number, chunk in ((0, first), (199, last)):
            with pytest.raises(OperationFailure, match=chunk.digest) as failure:
                await copy.find_one({"_id": f"{number:024x}"})
            assert failure.value.code == 351
            assert "deploys" in str(failure.value)
        assert await copy.find_one({"_id": f"{100:024x}"}) is not None
        assert await copy.estimated_document_count() == 200
