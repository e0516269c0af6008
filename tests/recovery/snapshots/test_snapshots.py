"""Tests of snapshots: what was taken is read back, and what was not finished does not exist."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from blackstart.errors import (
    DigestMismatchError,
    NotFoundError,
    ObjectNotFoundError,
    StorageError,
)
from blackstart.recovery.snapshots import Snapshot, Snapshots, plain
from blackstart.recovery.snapshots.keys import CHUNKS, MANIFESTS, chunk_key, manifest_key
from blackstart.store import ObjectStore

if TYPE_CHECKING:
    from tests.conftest import Bench

pytestmark = pytest.mark.usefixtures("small_chunks")


class FailingAfter(ObjectStore):
    """Takes so many writes, then fails."""

    writes_left = 0

    async def put(self, key: str, data: bytes) -> None:
        if self.writes_left == 0:
            raise StorageError("the disk is full")
        self.writes_left -= 1
        await super().put(key, data)


async def deploys_of(snapshots: Snapshots, snapshot: Snapshot) -> list[dict[str, Any]]:
    reader = await snapshots.open(snapshot.id)
    return [plain(raw) async for raw in reader.scan("deploys")]


async def test_a_snapshot_holds_every_document_exactly_as_it_was(
    bench: Bench, raws: list[dict[str, Any]]
) -> None:
    snapshots = Snapshots(bench.objects)
    taken = await snapshots.take(bench.store, bench.clock)
    assert (taken.deploy_count, taken.taken_at) == (5, bench.clock.now())
    assert taken.collections["sites"] == 1
    await bench.store.database["deploys"].delete_many({})
    assert await snapshots.newest() == taken
    found = await deploys_of(snapshots, taken)
    assert found == raws
    assert [list(raw) for raw in found] == [list(raw) for raw in raws], "in the same field order"


async def test_a_document_is_found_by_its_id(bench: Bench, raws: list[dict[str, Any]]) -> None:
    snapshots = Snapshots(bench.objects)
    reader = await snapshots.open((await snapshots.take(bench.store, bench.clock)).id)
    for raw in raws:
        found = await reader.get("deploys", raw["_id"])
        assert found is not None
        assert plain(found) == raw
    for absent in ("", "0" * 24, "f" * 25, None, 7):
        assert await reader.get("deploys", absent) is None
    with pytest.raises(NotFoundError, match="no collection 'nothing'"):
        await reader.get("nothing", 1)


async def test_a_scan_begins_where_it_is_told_to(bench: Bench, raws: list[dict[str, Any]]) -> None:
    snapshots = Snapshots(bench.objects)
    reader = await snapshots.open((await snapshots.take(bench.store, bench.clock)).id)
    for at, raw in enumerate(raws):
        found = [plain(each) async for each in reader.scan("deploys", start=raw["_id"])]
        assert found == raws[at:]


async def test_indexes_are_kept_as_the_server_lists_them(
    bench: Bench, raws: list[dict[str, Any]]
) -> None:
    snapshots = Snapshots(bench.objects)
    reader = await snapshots.open((await snapshots.take(bench.store, bench.clock)).id)
    live = await bench.store.database["deploys"].list_indexes()
    assert reader.indexes("deploys") == [dict(spec) async for spec in live]


async def test_an_empty_database_makes_an_empty_snapshot(bench: Bench) -> None:
    snapshots = Snapshots(bench.objects)
    taken = await snapshots.take(bench.store, bench.clock)
    assert (taken.deploy_count, taken.empty) == (0, True)
    assert await deploys_of(snapshots, taken) == []


async def test_the_newest_is_the_one_taken_last_or_last_before_a_moment(
    bench: Bench, raws: list[dict[str, Any]]
) -> None:
    snapshots = Snapshots(bench.objects)
    assert await snapshots.newest() is None
    taken = []
    for seconds in (0.25, 86_400, 9 * 86_400, 365 * 86_400):
        bench.clock.advance(seconds)
        taken.append(await snapshots.take(bench.store, bench.clock))
    assert (await snapshots.listing()).snapshots == taken
    assert await snapshots.newest() == taken[-1]
    assert await snapshots.newest(before=taken[2].taken_at) == taken[1]
    assert await snapshots.newest(before=taken[0].taken_at) is None


async def test_two_snapshots_of_one_moment_are_two_snapshots(
    bench: Bench, raws: list[dict[str, Any]]
) -> None:
    snapshots = Snapshots(bench.objects)
    taken = [await snapshots.take(bench.store, bench.clock) for _ in range(2)]
    assert taken[0].taken_at == taken[1].taken_at
    assert {each.id for each in taken} == {
        each.id for each in (await snapshots.listing()).snapshots
    }
    assert taken[0].id != taken[1].id


async def test_a_later_change_does_not_reach_an_earlier_snapshot(
    bench: Bench, raws: list[dict[str, Any]]
) -> None:
    snapshots = Snapshots(bench.objects)
    taken = await snapshots.take(bench.store, bench.clock)
    await bench.store.database["deploys"].update_many({}, {"$set": {"metadata": {}}})
    bench.clock.advance(60)
    await snapshots.take(bench.store, bench.clock)
    assert await deploys_of(snapshots, taken) == raws


@pytest.mark.parametrize("writes", range(6))
async def test_a_snapshot_that_breaks_off_is_never_listed(
    bench: Bench, raws: list[dict[str, Any]], writes: int
) -> None:
    objects = FailingAfter(bench.objects.backend)
    objects.writes_left = writes
    with pytest.raises(StorageError, match="full"):
        await Snapshots(objects).take(bench.store, bench.clock)
    assert await bench.objects.list_keys(MANIFESTS) == []
    listing = await Snapshots(bench.objects).listing()
    assert (listing.snapshots, listing.damaged) == ([], [])


async def chunk_keys(snapshots: Snapshots, snapshot: Snapshot) -> list[str]:
    """Where the chunks of the deploys lie, in the snapshot's order."""
    found = (await snapshots.manifest(snapshot.id)).collection("deploys")
    assert found is not None
    return [chunk_key(chunk.stored.name) for chunk in found.chunks]


async def test_a_chunk_that_was_damaged_is_noticed_before_it_is_believed(
    bench: Bench, raws: list[dict[str, Any]]
) -> None:
    snapshots = Snapshots(bench.objects)
    taken = await snapshots.take(bench.store, bench.clock)
    keys = await chunk_keys(snapshots, taken)
    assert len(keys) > 1
    await bench.objects.put(keys[1], await bench.objects.get(keys[0]))
    digest = keys[1].rpartition("/")[2].partition(".")[0]
    reader, read = await snapshots.open(taken.id), []
    with pytest.raises(DigestMismatchError, match=f"{taken.id}: chunk {digest} of deploys"):
        async for raw in reader.scan("deploys"):
            read.append(plain(raw))
    assert read == raws[: len(read)] != []


async def test_a_chunk_that_is_gone_is_noticed(bench: Bench, raws: list[dict[str, Any]]) -> None:
    snapshots = Snapshots(bench.objects)
    taken = await snapshots.take(bench.store, bench.clock)
    await bench.objects.delete(await bench.objects.list_keys(CHUNKS))
    with pytest.raises(ObjectNotFoundError, match=f"{taken.id}: chunk .* of deploys is missing"):
        await deploys_of(snapshots, taken)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b"blackstart-snapshot 1 plain\n"])
async def test_a_manifest_that_cannot_be_believed_is_named(bench: Bench, data: bytes) -> None:
    await bench.objects.put(manifest_key("broken"), data)
    snapshots = Snapshots(bench.objects)
    listing = await snapshots.listing()
    assert [each.id for each in listing.damaged] == ["broken"]
    assert "manifest of snapshot broken is damaged" in listing.damaged[0].why
    assert await snapshots.newest() is None
    with pytest.raises(DigestMismatchError, match="damaged"):
        await snapshots.open("broken")
