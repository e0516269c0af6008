"""Tests of snapshots: what was taken is read back, and what was not finished does not exist."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from blackstart.errors import DigestMismatchError, ObjectNotFoundError, StorageError
from blackstart.recovery import snapshots as snapshots_module
from blackstart.recovery.snapshots import PREFIX, Snapshot, Snapshots
from blackstart.store import MetadataStore, ObjectStore

if TYPE_CHECKING:
    from tests.conftest import Bench

PAGE = {"index.html": b"home"}


class FailingAfter(ObjectStore):
    """Takes so many writes, then fails."""

    writes_left = 0

    async def put(self, key: str, data: bytes) -> None:
        if self.writes_left == 0:
            raise StorageError("the disk is full")
        self.writes_left -= 1
        await super().put(key, data)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots_module, "PART_DOCUMENTS", 2)


@pytest.fixture
async def raws(bench: Bench) -> list[dict[str, Any]]:
    """Five deploys, one of them damaged, as the database has them."""
    site = await bench.site()
    deploys = [await bench.release(site, PAGE) for _ in range(5)]
    await bench.destroy(deploys[2].id)
    return await read(bench.store)


async def read(store: MetadataStore) -> list[dict[str, Any]]:
    return [raw async for raw in store.deploys.scan_raw()]


async def test_a_snapshot_holds_every_document_exactly_as_it_was(
    bench: Bench, raws: list[dict[str, Any]]
) -> None:
    snapshots = Snapshots(bench.objects)
    taken = await snapshots.take(bench.store, bench.clock)
    assert (taken.deploy_count, len(taken.parts), taken.taken_at) == (5, 3, bench.clock.now())
    await bench.store.database["deploys"].delete_many({})
    newest = await snapshots.newest()
    assert newest == taken
    found = [raw async for raw in snapshots.deploys(taken)]
    assert found == raws
    assert [list(raw) for raw in found] == [list(raw) for raw in raws], "in the same field order"


async def test_an_empty_database_makes_an_empty_snapshot(bench: Bench) -> None:
    snapshots = Snapshots(bench.objects)
    taken = await snapshots.take(bench.store, bench.clock)
    assert (taken.deploy_count, taken.parts) == (0, [])
    assert [raw async for raw in snapshots.deploys(taken)] == []


async def test_the_newest_is_the_one_taken_last_or_last_before_a_moment(
    bench: Bench, raws: list[dict[str, Any]]
) -> None:
    snapshots = Snapshots(bench.objects)
    assert await snapshots.newest() is None
    taken = []
    for seconds in (0.25, 86_400, 9 * 86_400, 365 * 86_400):
        bench.clock.advance(seconds)
        taken.append(await snapshots.take(bench.store, bench.clock))
    assert await snapshots.all() == taken
    assert await snapshots.newest() == taken[-1]
    assert await snapshots.newest(before=taken[2].taken_at) == taken[1]
    assert await snapshots.newest(before=taken[0].taken_at) is None


async def test_two_snapshots_of_one_second_are_two_snapshots(
    bench: Bench, raws: list[dict[str, Any]]
) -> None:
    snapshots = Snapshots(bench.objects)
    before = await snapshots.take(bench.store, bench.clock)
    bench.clock.advance(0.5)
    after = await snapshots.take(bench.store, bench.clock)
    assert before.taken_at.replace(microsecond=0) == after.taken_at.replace(microsecond=0)
    assert await snapshots.all() == [before, after]


async def test_a_later_change_does_not_reach_an_earlier_snapshot(
    bench: Bench, raws: list[dict[str, Any]]
) -> None:
    snapshots = Snapshots(bench.objects)
    taken = await snapshots.take(bench.store, bench.clock)
    await bench.store.database["deploys"].update_many({}, {"$set": {"metadata": {}}})
    bench.clock.advance(60)
    await snapshots.take(bench.store, bench.clock)
    assert [raw async for raw in snapshots.deploys(taken)] == raws


@pytest.mark.parametrize("writes", range(4))
async def test_a_snapshot_that_breaks_off_is_never_listed(
    bench: Bench, raws: list[dict[str, Any]], writes: int
) -> None:
    """Three parts and the manifest are four writes: each may be the one that fails."""
    objects = FailingAfter(bench.objects.backend)
    objects.writes_left = writes
    with pytest.raises(StorageError, match="full"):
        await Snapshots(objects).take(bench.store, bench.clock)
    assert len(await bench.objects.list_keys(f"{PREFIX}parts/")) == writes
    snapshots = Snapshots(bench.objects)
    assert await snapshots.all() == []
    assert await snapshots.newest() is None


async def test_a_part_that_was_damaged_is_noticed_before_it_is_believed(
    bench: Bench, raws: list[dict[str, Any]]
) -> None:
    snapshots = Snapshots(bench.objects)
    taken = await snapshots.take(bench.store, bench.clock)
    first, second, _ = await keys_of_parts(bench.objects, taken)
    await bench.objects.put(second, await bench.objects.get(first))
    read = []
    with pytest.raises(DigestMismatchError, match=taken.parts[1]):
        async for raw in snapshots.deploys(taken):
            read.append(raw)
    assert read == raws[:2]


async def test_a_part_that_is_gone_is_noticed(bench: Bench, raws: list[dict[str, Any]]) -> None:
    snapshots = Snapshots(bench.objects)
    taken = await snapshots.take(bench.store, bench.clock)
    await bench.objects.delete(await keys_of_parts(bench.objects, taken))
    with pytest.raises(ObjectNotFoundError):
        await anext(snapshots.deploys(taken))


async def keys_of_parts(objects: ObjectStore, snapshot: Snapshot) -> list[str]:
    """Where the parts lie, in the snapshot's order."""
    keys = await objects.list_keys(f"{PREFIX}parts/")

    def found(digest: str) -> Iterator[str]:
        return (key for key in keys if key.replace("/", "").endswith(digest))

    return [next(found(digest)) for digest in snapshot.parts]


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"taken_at": 1}', b"\xff", b'{"a": 1}'])
async def test_a_manifest_that_cannot_be_read_is_a_clear_error(bench: Bench, data: bytes) -> None:
    await bench.objects.put(f"{PREFIX}manifests/broken.json", data)
    with pytest.raises(StorageError, match="manifest cannot be read"):
        await Snapshots(bench.objects).all()
