"""Removing snapshots and chunks: what is needed stays, and what cannot be told is not touched."""

from __future__ import annotations

from typing import Any

import pytest
from tests.recovery.snapshots.conftest import Bucket, Crash, Touches, touchy

from blackstart.errors import BlackstartError, ConflictError, NotFoundError, StorageError
from blackstart.recovery.snapshots import Sealer, Snapshot, Snapshots, State, Verifier
from blackstart.recovery.snapshots.collecting import Collector, Pruning
from blackstart.recovery.snapshots.keys import CHUNKS, COLLECTING, MANIFESTS, PREFIX, TAKES
from blackstart.recovery.snapshots.retention import Keep
from blackstart.store import ObjectStore

NEWEST = Keep.parse("newest=1")
KEY = Sealer.from_text("00" * 32)


def collector(bucket: Bucket, keep: Keep | None = NEWEST, **how: Any) -> Collector:
    snapshots = how.pop("snapshots", bucket.snapshots)
    return Collector(snapshots, bucket.bench.clock, keep, **how)


async def apply(bucket: Bucket, keep: Keep | None = NEWEST, **how: Any) -> Pruning:
    return await collector(bucket, keep, **how).apply(bucket.bench.seed.fork("collector"))


async def change(bucket: Bucket, value: int) -> None:
    deploys = bucket.bench.store.database["deploys"]
    await deploys.update_one({"_id": "007"}, {"$set": {"value": value}})


async def three(bucket: Bucket) -> list[Snapshot]:
    """Three snapshots; the later ones hold patches of the first one's chunks."""
    random = bucket.bench.seed.fork("text").random
    deploys = bucket.bench.store.database["deploys"]
    for number in range(40):
        text = random.randbytes(300).hex()
        await deploys.update_one({"_id": f"{number:03}"}, {"$set": {"text": text}})
    taken = [await bucket.take()]
    for value in (1, 2):
        await change(bucket, value)
        taken.append(await bucket.take())
    return taken


async def chunks(bucket: Bucket) -> list[str]:
    return await bucket.bench.objects.list_keys(CHUNKS)


async def test_only_what_no_snapshot_needs_is_removed_and_bases_of_patches_stay(
    bucket: Bucket,
) -> None:
    first, second, third = await three(bucket)
    was = await chunks(bucket)
    manifest = await bucket.snapshots.manifest(third.id)
    assert any(chunk.base for chunk in manifest.chunks().values())
    done = await apply(bucket)
    assert done.removed == [first.id, second.id]
    assert done.kept == {third.id: ["newest"]}
    assert done.why_not is None
    left = set(await chunks(bucket))
    assert left == manifest.keys()
    assert done.chunks == len(was) - len(left) > 0
    assert (await Verifier(bucket.snapshots).verify(third.id)).state is State.OK
    again = await apply(bucket)
    assert (again.removed, again.chunks) == ([], 0)


async def test_a_look_tells_what_would_be_done_and_does_nothing(bucket: Bucket) -> None:
    await three(bucket)
    objects = bucket.bench.objects
    was = {key: await objects.get(key) for key in await objects.list_keys(PREFIX)}
    look = await collector(bucket).look()
    assert {key: await objects.get(key) for key in await objects.list_keys(PREFIX)} == was
    assert look == await apply(bucket)
    assert look.chunk_bytes > 0


async def test_a_damaged_manifest_keeps_every_chunk_until_it_is_removed_by_name(
    bucket: Bucket,
) -> None:
    first, second, third = await three(bucket)
    objects = bucket.bench.objects
    key = f"{MANIFESTS}{second.id}"
    await objects.put(key, (await objects.get(key))[:-1])
    was = await chunks(bucket)
    for done in (await collector(bucket).look(), await apply(bucket)):
        assert done.removed == [first.id]
        assert done.damaged == [second.id]
        assert second.id in str(done.why_not)
        assert done.unreadable
        assert await chunks(bucket) == was
    done = await apply(bucket, remove=[second.id])
    assert (done.removed, done.damaged, done.why_not) == ([second.id], [], None)
    assert set(await chunks(bucket)) == (await bucket.snapshots.manifest(third.id)).keys()


async def test_a_sealed_manifest_without_its_key_keeps_every_chunk(bucket: Bucket) -> None:
    await bucket.take(Snapshots(bucket.bench.objects, sealer=KEY))
    await bucket.take()
    was = await chunks(bucket)
    done = await apply(bucket, Keep.parse("newest=2"))
    assert "sealed" in str(done.why_not)
    assert done.unreadable
    assert await chunks(bucket) == was


async def test_a_take_that_goes_on_stops_the_collecting_and_a_dead_one_is_ended(
    bucket: Bucket,
) -> None:
    first, *_ = await three(bucket)
    await bucket.bench.store.database["deploys"].update_many({}, {"$inc": {"value": 1}})
    touches = Touches(12, Crash)
    with pytest.raises(Crash):
        await bucket.take(Snapshots(touchy(bucket.bench.objects, touches)))
    (lease,) = await bucket.bench.objects.list_keys(TAKES)
    was = await chunks(bucket)
    for done in (await collector(bucket).look(), await apply(bucket)):
        assert done.why_not == f"snapshot {lease.removeprefix(TAKES)} is being taken"
        assert not done.unreadable
        assert await chunks(bucket) == was
    assert first.id not in {each.id for each in await bucket.snapshots.all()}
    bucket.bench.clock.advance(16 * 60)
    done = await apply(bucket)
    assert done.why_not is None
    assert await bucket.bench.objects.list_keys(TAKES) == []
    (newest,) = await bucket.snapshots.all()
    assert set(await chunks(bucket)) == (await bucket.snapshots.manifest(newest.id)).keys()
    with pytest.raises(NotFoundError, match="never finished"):
        await bucket.snapshots.open(lease.removeprefix(TAKES))


async def test_a_take_that_was_given_up_while_it_slept_is_never_listed(bucket: Bucket) -> None:
    await bucket.take()
    await change(bucket, 7)

    class Sleepy(ObjectStore):
        async def put_new(self, key: str, data: bytes) -> bool:
            if key.startswith(MANIFESTS):
                bucket.bench.clock.advance(20 * 60)
                await apply(bucket)
            return await super().put_new(key, data)

    with pytest.raises(ConflictError):
        await bucket.take(Snapshots(Sleepy(bucket.bench.objects.backend)))
    (only,) = await bucket.snapshots.all()
    assert (await Verifier(bucket.snapshots).verify(only.id)).state is State.OK


async def test_the_rule_holds_for_the_database_that_is_named(bucket: Bucket) -> None:
    mine = [await bucket.take(), await bucket.take()]
    client = bucket.bench.store.database.client
    other = client["another"]
    await other["deploys"].insert_one({"_id": 1})
    bucket.bench.clock.advance(60)
    seed = bucket.bench.seed.fork("other")
    theirs = [await bucket.snapshots.take(other, bucket.bench.clock, seed) for _ in range(2)]
    await client.drop_database("another")
    name = bucket.bench.store.database.name
    done = await apply(bucket, database=name)
    assert done.removed == [mine[0].id]
    assert all(done.kept[each.id] == ["of another"] for each in theirs)
    assert len((await apply(bucket)).removed) == 1


async def test_without_a_rule_only_those_named_go(bucket: Bucket) -> None:
    first, second, third = await three(bucket)
    done = await apply(bucket, None, remove=[second.id])
    assert done.removed == [second.id]
    assert {each.id for each in await bucket.snapshots.all()} == {first.id, third.id}
    with pytest.raises(NotFoundError):
        await apply(bucket, None, remove=[second.id])


async def test_one_collector_at_a_time_and_a_dead_one_is_taken_over_from(bucket: Bucket) -> None:
    await three(bucket)
    touches = Touches(8, Crash)
    with pytest.raises(Crash):
        await apply(bucket, snapshots=Snapshots(touchy(bucket.bench.objects, touches)))
    assert len(await bucket.bench.objects.list_keys(COLLECTING)) == 1
    with pytest.raises(ConflictError, match="already"):
        await apply(bucket)
    bucket.bench.clock.advance(16 * 60)
    assert (await apply(bucket)).why_not is None
    assert await bucket.bench.objects.list_keys(COLLECTING) == []


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("error", [StorageError, Crash])
async def test_it_may_end_at_any_touch_of_the_store_and_be_begun_again(
    bucket: Bucket, error: type[BaseException], after: bool
) -> None:
    await three(bucket)
    objects = bucket.bench.objects
    was = {key: await objects.get(key) for key in await objects.list_keys(PREFIX)}
    ends = 0
    for at in range(200):
        for key in await objects.list_keys(PREFIX):
            await objects.delete([key])
        for key, data in was.items():
            await objects.put(key, data)
        touches = Touches(at, error)
        try:
            store = touchy(objects, touches, after=after)
            await apply(bucket, Keep.parse("newest=2"), snapshots=Snapshots(store))
        except (BlackstartError, Crash):
            ends += 1
        bucket.bench.clock.advance(16 * 60)
        await apply(bucket, Keep.parse("newest=2"))
        needed = set[str]()
        for snapshot in await bucket.snapshots.all():
            assert (await Verifier(bucket.snapshots).verify(snapshot.id)).state is State.OK
            needed |= (await bucket.snapshots.manifest(snapshot.id)).keys()
        assert len(await bucket.snapshots.all()) == 2
        assert set(await chunks(bucket)) == needed
        if touches.count <= at:
            break
    assert ends >= 10


async def test_in_a_folder_chunks_are_removed_several_at_a_time(
    bucket: Bucket, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from blackstart.recovery.snapshots import collecting

    monkeypatch.setattr(collecting, "BATCH", 2)
    snapshots = Snapshots(ObjectStore.open(str(tmp_path / "bucket")))
    await bucket.take(snapshots)
    await bucket.bench.store.database["deploys"].update_many({}, {"$set": {"value": "x" * 900}})
    kept = await bucket.take(snapshots)
    done = await apply(bucket, snapshots=snapshots)
    assert done.chunks > 4
    assert (await Verifier(snapshots).verify(kept.id)).state is State.OK
    left = set(await snapshots.chunks.objects.list_keys(CHUNKS))
    assert left == (await snapshots.manifest(kept.id)).keys()
