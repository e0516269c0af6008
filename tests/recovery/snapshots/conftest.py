"""A database with awkward documents, small chunks, and object stores that fail on purpose."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from blackstart.errors import StorageError
from blackstart.recovery.snapshots import Snapshot, Snapshots, cutting
from blackstart.store import ObjectStore

if TYPE_CHECKING:
    from tests.conftest import Bench

Documents = dict[str, list[bytes]]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """About four documents in a chunk."""
    monkeypatch.setattr(cutting, "TARGET_BYTES", 600)


class Crash(BaseException):
    """The process ends here: nothing after it runs, no clean-up either."""


@dataclass
class Touches:
    """Counts how often the world is touched, and fails or ends at one of the times."""

    fail_at: int = -1
    error: type[BaseException] = StorageError
    count: int = 0
    dead: bool = False

    def touch(self) -> None:
        if self.dead:
            raise Crash
        self.count += 1
        if self.count - 1 == self.fail_at:
            self.dead = self.error is Crash
            raise self.error("the store failed")


class TouchyStore(ObjectStore):
    """An object store that counts its touches; a write may fail before or after it is done."""

    touches: Touches
    after = False

    async def put(self, key: str, data: bytes) -> None:
        if not self.after:
            self.touches.touch()
        await super().put(key, data)
        if self.after:
            self.touches.touch()

    async def put_new(self, key: str, data: bytes) -> bool:
        if not self.after:
            self.touches.touch()
        done = await super().put_new(key, data)
        if self.after:
            self.touches.touch()
        return done

    async def get(self, key: str) -> bytes:
        self.touches.touch()
        return await super().get(key)

    async def delete(self, keys: Any) -> None:
        for key in keys:
            self.touches.touch()
            await super().delete([key])

    async def list_keys(self, prefix: str) -> list[str]:
        self.touches.touch()
        return await super().list_keys(prefix)


def touchy(objects: ObjectStore, touches: Touches, *, after: bool = False) -> TouchyStore:
    made = TouchyStore(objects.backend)
    made.touches, made.after = touches, after
    return made


class Bucket:
    """Snapshots of one database, taken a minute apart."""

    def __init__(self, bench: Bench, snapshots: Snapshots) -> None:
        self.bench = bench
        self.snapshots = snapshots

    async def take(self, snapshots: Snapshots | None = None) -> Snapshot:
        self.bench.clock.advance(60)
        database = self.bench.store.database
        seed = self.bench.seed.fork("snapshots")
        # Each fork begins anew: what tells two snapshots apart here is the time.
        return await (snapshots or self.snapshots).take(database, self.bench.clock, seed)

    async def database(self) -> Documents:
        """Every document as the database has it."""
        database = self.bench.store.database
        return {
            name: [bytes(raw) async for raw in _raw(database[name])]
            for name in sorted(await database.list_collection_names())
        }

    async def held(self, snapshot: Snapshot, snapshots: Snapshots | None = None) -> Documents:
        """Every document as a snapshot has it."""
        reader = await (snapshots or self.snapshots).open(snapshot.id)
        return {
            name: [bytes(raw.raw) async for raw in reader.scan(name)]
            for name in reader.collections()
        }


async def _raw(collection: Any) -> AsyncIterator[bytes]:
    from blackstart.recovery.snapshots.documents import split

    async for batch in collection.find_raw_batches({}, sort=[("_id", 1)]):
        for document in split(batch):
            yield document


@pytest.fixture
async def bucket(bench: Bench) -> Bucket:
    """Forty numbered documents, and an object store in memory."""
    await bench.store.database["deploys"].insert_many(
        {
            "_id": f"{number:03}",
            "site_id": f"s{number}",
            "number": 1,
            "value": 0,
            "metadata": {"tree": "t" * 64},
        }
        for number in range(40)
    )
    return Bucket(bench, Snapshots(bench.objects))
