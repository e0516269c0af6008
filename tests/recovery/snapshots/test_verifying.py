"""Verifying: only a snapshot that holds what it held is ok, and what is wrong is named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.recovery.snapshots.conftest import Bucket, Touches, touchy
from tests.recovery.snapshots.test_taking import AWKWARD_IDS

from blackstart.errors import BlackstartError, NotFoundError, StorageError, UsageError
from blackstart.recovery.snapshots import Sealer, Snapshot, Snapshots
from blackstart.recovery.snapshots.keys import CHUNKS, chunk_key, manifest_key
from blackstart.recovery.snapshots.manifest import Chunk, Manifest, SnapshotCollection
from blackstart.recovery.snapshots.verdict import Kind, State, Verdict
from blackstart.recovery.snapshots.verifying import GIVE_UP_AFTER, Verifier
from blackstart.store import ObjectStore

KEY = Sealer.from_text("00" * 32)


async def verify(bucket: Bucket, snapshot: Snapshot, **how: Any) -> Verdict:
    return await Verifier(how.get("snapshots") or bucket.snapshots).verify(snapshot.id)


async def chunks_of(bucket: Bucket, snapshot: Snapshot) -> tuple[Chunk, ...]:
    return (await bucket.snapshots.manifest(snapshot.id)).collections["deploys"].chunks


async def rewrite(bucket: Bucket, snapshot: Snapshot, chunks: list[Chunk]) -> None:
    """Have the manifest list other chunks, with a checksum that holds."""
    manifest = await bucket.snapshots.manifest(snapshot.id)
    collections = {**manifest.collections, "deploys": SnapshotCollection(tuple(chunks))}
    changed = Manifest(manifest.snapshot, collections)
    await bucket.bench.objects.put(manifest_key(snapshot.id), changed.encode(None))


async def test_a_whole_snapshot_is_ok_and_every_document_was_looked_at(bucket: Bucket) -> None:
    database = bucket.bench.store.database
    await database["odd"].insert_many({"_id": key} for key in AWKWARD_IDS)
    first = await bucket.take()
    await database["deploys"].update_one({"_id": "007"}, {"$set": {"value": 1}})
    for taken in (first, await bucket.take()):
        told: list[int] = []
        verdict = await Verifier(bucket.snapshots).verify(taken.id, told.append)
        assert (verdict.state, verdict.damages, verdict.unread) == (State.OK, (), ())
        assert verdict.documents == 40 + len(AWKWARD_IDS)
        assert verdict.raw_bytes == taken.raw_bytes
        assert sum(told) == verdict.chunks > 4


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda data: data[:-5], Kind.TRUNCATED),
        (lambda data: b"", Kind.TRUNCATED),
        (lambda data: data[:20] + bytes([data[20] ^ 8]) + data[21:], Kind.WRONG_BYTES),
        (None, Kind.MISSING),
    ],
    ids=["cut off", "empty", "flipped", "gone"],
)
@pytest.mark.parametrize("sealer", [None, KEY], ids=["plain", "sealed"])
async def test_each_damaged_chunk_is_named_with_what_is_wrong(
    bucket: Bucket, change: Any, kind: Kind, sealer: Sealer | None
) -> None:
    snapshots = Snapshots(bucket.bench.objects, sealer=sealer)
    taken = await bucket.take(snapshots)
    objects = bucket.bench.objects
    first, second, *rest = (await snapshots.manifest(taken.id)).collections["deploys"].chunks
    for chunk in (first, second):
        key = chunk_key(chunk.name)
        if change is None:
            await objects.delete([key])
        else:
            await objects.put(key, change(await objects.get(key)))
    verdict = await verify(bucket, taken, snapshots=snapshots)
    assert verdict.state is State.DAMAGED
    assert [(each.collection, each.chunk, each.kind) for each in verdict.damages] == [
        ("deploys", chunk.name, kind) for chunk in (first, second)
    ]
    assert verdict.chunks == len(rest)


async def test_the_base_of_a_patch_is_read_too(bucket: Bucket) -> None:
    random = bucket.bench.seed.fork("text").random
    deploys = bucket.bench.store.database["deploys"]
    for number in range(40):
        text = random.randbytes(300).hex()
        await deploys.update_one({"_id": f"{number:03}"}, {"$set": {"text": text}})
    first = await bucket.take()
    await deploys.update_one({"_id": "007"}, {"$set": {"value": 1}})
    second = await bucket.take()
    (patch,) = (chunk for chunk in await chunks_of(bucket, second) if chunk.base)
    assert patch.base is not None
    await bucket.bench.objects.delete([chunk_key(patch.base)])
    verdict = await verify(bucket, second)
    assert [(each.chunk, each.kind) for each in verdict.damages] == [(patch.name, Kind.MISSING)]
    assert patch.base in verdict.damages[0].reason
    assert verdict.damages[0].base == patch.base
    assert (await verify(bucket, first)).damages[0].chunk == patch.base


async def test_whatever_byte_is_changed_an_ok_means_that_every_document_is_there(
    bucket: Bucket,
) -> None:
    taken = await bucket.take()
    was = await bucket.database()
    objects = bucket.bench.objects
    found = {State.OK: 0, State.DAMAGED: 0}
    chunk = (await chunks_of(bucket, taken))[0]
    for key in (manifest_key(taken.id), chunk_key(chunk.name)):
        data = await objects.get(key)
        for at in range(len(data)):
            for changed in (data[:at], data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]):
                await objects.put(key, changed)
                state = (await verify(bucket, taken)).state
                found[state] += 1
                if state is State.OK:
                    assert await bucket.held(taken) == was
        await objects.put(key, data)
    assert found[State.DAMAGED] > 1000
    assert found[State.OK] < 20


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda c: [replace(c[0], count=c[0].count + 1), *c[1:]], Kind.WRONG_COUNT),
        (lambda c: [replace(c[0], raw_bytes=1), *c[1:]], Kind.WRONG_COUNT),
        (lambda c: [replace(c[0], last_id=c[0].first_id), *c[1:]], Kind.WRONG_IDS),
        (lambda c: [replace(c[0], first_id=c[0].last_id), *c[1:]], Kind.WRONG_IDS),
        (lambda c: [c[1], c[0], *c[2:]], Kind.WRONG_ORDER),
        (lambda c: c[1:], Kind.MANIFEST),
        (lambda c: [*c, c[-1]], Kind.MANIFEST),
    ],
)
async def test_a_manifest_that_tells_of_other_documents_than_there_are_is_damage(
    bucket: Bucket, change: Any, kind: Kind
) -> None:
    taken = await bucket.take()
    await rewrite(bucket, taken, change(list(await chunks_of(bucket, taken))))
    verdict = await verify(bucket, taken)
    assert verdict.state is State.DAMAGED
    assert kind in {each.kind for each in verdict.damages}


async def test_documents_out_of_order_are_damage(bucket: Bucket) -> None:
    taken = await bucket.take()
    chunks = list(await chunks_of(bucket, taken))
    at = next(at for at, chunk in enumerate(chunks) if chunk.count > 3)
    reader = await bucket.snapshots.open(taken.id)
    first, *middle, last = (each.raw for each in await reader.documents_of("deploys", chunks[at]))
    raw = b"".join((first, *reversed(middle), last))
    digest = bucket.snapshots.chunks.digest(raw)
    await bucket.snapshots.chunks.put(digest, bucket.snapshots.chunks.pack(raw, digest))
    chunks[at] = replace(chunks[at], digest=digest, name=digest)
    await rewrite(bucket, taken, chunks)
    verdict = await verify(bucket, taken)
    assert [(each.chunk, each.kind) for each in verdict.damages] == [(digest, Kind.WRONG_ORDER)]


async def test_what_cannot_be_read_is_not_called_damaged_and_not_ok(bucket: Bucket) -> None:
    taken = await bucket.take()
    states = []
    for at in range(100):
        touches = Touches(at)
        store = touchy(bucket.bench.objects, touches)
        states.append((await verify(bucket, taken, snapshots=Snapshots(store))).state)
        if touches.count <= at:
            break
    assert len(states) > 5
    assert states == [State.UNVERIFIED] * (len(states) - 1) + [State.OK]


async def test_a_store_that_is_gone_is_asked_a_few_times_only(bucket: Bucket) -> None:
    taken = await bucket.take()
    reads = []

    class Gone(ObjectStore):
        async def get(self, key: str) -> bytes:
            if key.startswith(CHUNKS):
                reads.append(key)
                raise StorageError("the store is gone")
            return await super().get(key)

    gone = Snapshots(Gone(bucket.bench.objects.backend))
    verdict = await verify(bucket, taken, snapshots=gone)
    assert verdict.state is State.UNVERIFIED
    assert len(reads) == GIVE_UP_AFTER
    assert verdict.unread[-1] == "the rest was not tried"


async def test_without_the_key_nothing_is_said_about_a_sealed_snapshot(bucket: Bucket) -> None:
    sealed = Snapshots(bucket.bench.objects, sealer=KEY)
    taken = await bucket.take(sealed)
    assert (await verify(bucket, taken, snapshots=sealed)).state is State.OK
    other = Snapshots(bucket.bench.objects, sealer=Sealer.from_text("11" * 32))
    for snapshots, said in ((bucket.snapshots, "BLACKSTART_SNAPSHOT_KEY"), (other, "another key")):
        verdict = await verify(bucket, taken, snapshots=snapshots)
        assert verdict.state is State.UNVERIFIED
        assert said in verdict.unread[0]


async def test_one_that_is_removed_meanwhile_is_not_called_damaged(bucket: Bucket) -> None:
    taken = await bucket.take()
    objects = bucket.bench.objects

    async def remove(count: int) -> None:
        await objects.delete([manifest_key(taken.id), *await objects.list_keys(CHUNKS)])

    class Removed(ObjectStore):
        async def get(self, key: str) -> bytes:
            if key.startswith(CHUNKS):
                await remove(1)
            return await super().get(key)

    verdict = await verify(bucket, taken, snapshots=Snapshots(Removed(objects.backend)))
    assert verdict.state is State.UNVERIFIED
    assert "removed" in verdict.unread[0]


async def test_a_chunk_that_two_snapshots_hold_is_read_once(bucket: Bucket) -> None:
    both = [await bucket.take(), await bucket.take()]
    touches = Touches()
    verifier = Verifier(Snapshots(touchy(bucket.bench.objects, touches)))
    counts = []
    for taken in both:
        assert (await verifier.verify(taken.id)).state is State.OK
        counts.append(touches.count)
    assert counts[1] - counts[0] == 1


async def test_in_a_folder_several_chunks_are_read_at_a_time(bucket: Bucket, tmp_path: Any) -> None:
    snapshots = Snapshots(ObjectStore.open(str(tmp_path / "bucket")))
    taken = await bucket.take(snapshots)
    assert (await verify(bucket, taken, snapshots=snapshots)).state is State.OK
    chunk = (await snapshots.manifest(taken.id)).collections["deploys"].chunks[-1]
    (tmp_path / "bucket" / chunk_key(chunk.name)).unlink()
    verdict = await verify(bucket, taken, snapshots=snapshots)
    assert [(each.chunk, each.kind) for each in verdict.damages] == [(chunk.name, Kind.MISSING)]


async def test_an_id_of_nothing_is_refused(bucket: Bucket) -> None:
    for snapshot_id, error in (("x", UsageError), ("20170202T171700000Z-000000", NotFoundError)):
        wanted: type[BlackstartError] = error
        with pytest.raises(wanted):
            await Verifier(bucket.snapshots).verify(snapshot_id)
