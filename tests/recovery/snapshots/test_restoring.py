"""Bringing documents back: what was asked for and nothing else, however it is stopped."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import DatetimeMS, Decimal128, Int64, ObjectId
from tests.recovery.snapshots.conftest import Bucket, Crash

from blackstart.errors import ConflictError, DatabaseError, NotFoundError, UsageError
from blackstart.recovery.apply import Outcome, Runs
from blackstart.recovery.restoring import (
    Order,
    Report,
    Restorer,
    RestoreUndoer,
    Wanted,
    parse_fields,
    run,
    undoing,
)
from blackstart.recovery.restoring.target import target
from blackstart.recovery.snapshots import Snapshot
from blackstart.recovery.snapshots.keys import chunk_key

FIRST_TEN = {"_id": {"$lt": "010"}}


def unwatched(count: int) -> None:
    return None


class Desk:
    """Restores from one snapshot; journals lie in a folder."""

    def __init__(self, bucket: Bucket, folder: Path) -> None:
        self.bucket = bucket
        self.database = bucket.bench.store.database
        self.runs = Runs(folder / "runs")

    @property
    def deploys(self) -> Any:
        return self.database["deploys"]

    async def restore(
        self,
        snapshot: Snapshot,
        *collections: str,
        where: Any = None,
        fields: Sequence[str] = (),
        yes: bool = True,
        **options: Any,
    ) -> Report:
        order = Order(
            collections, Wanted(where or {}), fields=tuple(parse_fields(fields)), **options
        )
        bench = self.bucket.bench
        restorer = Restorer(
            await self.bucket.snapshots.open_patiently(snapshot.id),
            self.database,
            order,
            self.runs,
            clock=bench.clock,
            seed=bench.seed,
        )
        return await (restorer.apply(unwatched) if yes else restorer.look(unwatched))

    async def undo(self, name: str, *, dry: bool = False) -> Report:
        return await RestoreUndoer(self.database, self.runs).undo(name, unwatched, dry=dry)

    def names(self) -> list[str]:
        """The runs there are."""
        return sorted(each.stem for each in self.runs.folder.glob("*.jsonl"))


@pytest.fixture
def desk(bucket: Bucket, tmp_path: Path) -> Desk:
    return Desk(bucket, tmp_path)


def counts(report: Report) -> dict[str, int]:
    return {each.value: count for each, count in report.tally.counts.items() if count}


async def test_one_field_of_some_documents_comes_back(desk: Desk) -> None:
    snapshot = await desk.bucket.take()
    before = await desk.bucket.database()
    await desk.deploys.update_many({}, {"$set": {"metadata": {"migrated": True}}})
    await desk.deploys.update_many({}, {"$set": {"value": 7}})
    broken = await desk.bucket.database()
    ask = {"where": FIRST_TEN, "fields": ["metadata"]}
    looked = await desk.restore(snapshot, "deploys", yes=False, **ask)
    assert (counts(looked), looked.run) == ({"applied": 10}, "")
    assert looked.summary.as_row()["fields"] == [
        {"collection": "deploys", "path": "metadata.migrated", "removed": 10},
        {"collection": "deploys", "path": "metadata.tree", "added": 10},
    ]
    assert await desk.bucket.database() == broken
    assert desk.names() == []
    done = await desk.restore(snapshot, "deploys", **ask)
    assert counts(done) == {"applied": 10}
    now = await desk.bucket.database()
    assert [bson.decode(raw)["metadata"] for raw in now["deploys"][:10]] == [
        bson.decode(raw)["metadata"] for raw in before["deploys"][:10]
    ]
    assert all(bson.decode(raw)["value"] == 7 for raw in now["deploys"])
    assert now["deploys"][10:] == broken["deploys"][10:]
    again = await desk.restore(snapshot, "deploys", **ask)
    assert (counts(again), again.run, desk.names()) == ({"already": 10}, "", [done.run])
    await desk.undo(done.run)
    assert await desk.bucket.database() == broken


async def test_documents_come_back_byte_for_byte_and_what_is_new_stays(desk: Desk) -> None:
    awkward = [math.nan, Int64(1), 1.0, Decimal128("1.00"), DatetimeMS(10**12 + 1), None, b"b"]
    awkward += [[1, [None]], {"z": 1, "a": math.inf}, ObjectId("1" * 24), bson.Regex("a", "i")]
    await desk.database["odd"].insert_many(
        {"_id": number, "v": value} for number, value in enumerate(awkward)
    )
    snapshot = await desk.bucket.take()
    before = await desk.bucket.database()
    await desk.database["odd"].update_many({}, {"$set": {"v": "lost"}})
    await desk.deploys.delete_many(FIRST_TEN)
    await desk.deploys.insert_one({"_id": "new"})
    broken = await desk.bucket.database()
    done = await desk.restore(snapshot)
    assert counts(done)["applied"] == len(awkward) + 10
    now = await desk.bucket.database()
    assert now["odd"] == before["odd"]
    assert now["deploys"] == [*before["deploys"], bson.encode({"_id": "new"})]
    cleaned = await desk.restore(snapshot, "deploys", delete_others=True)
    assert counts(cleaned) == {"already": 40, "applied": 1}
    assert await desk.bucket.database() == before
    for each in (cleaned, done):
        assert (await desk.undo(each.run, dry=True)).smooth
        assert counts(await desk.undo(each.run))["applied"]
    assert await desk.bucket.database() == broken


async def test_others_are_removed_only_where_the_filter_matches(desk: Desk) -> None:
    snapshot = await desk.bucket.take()
    await desk.deploys.insert_many({"_id": f"new{n}", "site_id": f"s{n}"} for n in range(3))
    looked = await desk.restore(
        snapshot, "deploys", where={"site_id": "s1"}, delete_others=True, yes=False
    )
    assert [(each.kind, each.id) for each in looked.sample] == [("removed", "new1")]
    await desk.restore(snapshot, "deploys", where={"site_id": "s1"}, delete_others=True)
    left = await desk.deploys.distinct("_id", {"_id": {"$gt": "n"}})
    assert left == ["new0", "new2"]


async def test_a_document_that_changes_between_the_look_and_the_write_is_left_alone(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = await desk.bucket.take()
    await desk.deploys.update_many(FIRST_TEN, {"$unset": {"metadata": ""}})
    await desk.deploys.delete_one({"_id": "009"})
    carry_out = run.carry_out

    async def meanwhile(collection: Any, swaps: Any) -> Any:
        await collection.update_one({"_id": "001"}, {"$set": {"metadata": {"mine": 1}}})
        await collection.update_one({"_id": "002"}, {"$set": {"value": "mine"}})
        await collection.delete_one({"_id": "003"})
        await collection.insert_one({"_id": "009", "mine": 1})
        return await carry_out(collection, swaps)

    monkeypatch.setattr(run, "carry_out", meanwhile)
    done = await desk.restore(snapshot, "deploys")
    assert counts(done) == {"already": 30, "applied": 7, "changed": 2, "gone": 1}
    assert {(name, outcome.value) for name, outcome, _ in done.tally.named} == {
        ('deploys "001"', "changed"),
        ('deploys "003"', "gone"),
        ('deploys "009"', "changed"),
    }
    assert (await desk.deploys.find_one({"_id": "001"}))["metadata"] == {"mine": 1}
    second = await desk.deploys.find_one({"_id": "002"})
    assert (second["value"], second["metadata"]) == ("mine", {"tree": "t" * 64})
    assert await desk.deploys.find_one({"_id": "009"}) == {"_id": "009", "mine": 1}


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", [0, 1, 3])
async def test_a_restore_that_was_killed_is_done_by_the_next_one_and_both_can_be_taken_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, at: int, after: bool
) -> None:
    snapshot = await desk.bucket.take()
    before = await desk.bucket.database()
    await desk.deploys.update_many(FIRST_TEN, {"$set": {"metadata": {"migrated": True}}})
    broken = await desk.bucket.database()
    monkeypatch.setattr(run, "BATCH", 3)
    monkeypatch.setattr(run, "carry_out", killed_at(run.carry_out, at, after=after))
    with pytest.raises(Crash):
        await desk.restore(snapshot, "deploys", where=FIRST_TEN)
    monkeypatch.undo()
    (killed,) = desk.names()
    done = await desk.restore(snapshot, "deploys", where=FIRST_TEN)
    assert done.smooth
    assert await desk.bucket.database() == before
    assert counts(await desk.restore(snapshot, "deploys", where=FIRST_TEN)) == {"already": 10}
    if done.run:
        assert (await desk.undo(done.run)).smooth
    assert (await desk.undo(killed)).smooth
    assert await desk.bucket.database() == broken


async def test_an_undo_that_was_killed_goes_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = await desk.bucket.take()
    await desk.deploys.update_many(FIRST_TEN, {"$unset": {"metadata": ""}})
    await desk.deploys.update_one({"_id": "011"}, {"$set": {"value": 1}})
    broken = await desk.bucket.database()
    done = await desk.restore(snapshot, "deploys")
    await desk.deploys.update_one({"_id": "011"}, {"$set": {"value": 2}})
    monkeypatch.setattr(undoing, "BATCH", 4)
    monkeypatch.setattr(undoing, "carry_out", killed_at(undoing.carry_out, 1, after=True))
    with pytest.raises(Crash):
        await desk.undo(done.run)
    monkeypatch.undo()
    report = await desk.undo(done.run)
    assert counts(report)["changed"] == 1
    now = await desk.bucket.database()
    assert now["deploys"][:11] == broken["deploys"][:11]
    assert bson.decode(now["deploys"][11])["value"] == 2


def killed_at(work: Callable[..., Any], at: int, *, after: bool) -> Callable[..., Any]:
    """Ends the process at one of the writes, before or after it is done."""
    calls = 0

    async def do(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls - 1 != at:
            return await work(*arguments)
        if after:
            await work(*arguments)
        raise Crash

    return do


async def test_what_a_damaged_chunk_held_is_named_and_the_rest_comes_back(desk: Desk) -> None:
    snapshot = await desk.bucket.take()
    lost = (await desk.bucket.snapshots.manifest(snapshot.id)).collections["deploys"].chunks[1]
    await desk.bucket.bench.objects.delete([chunk_key(lost.name)])
    await desk.deploys.update_many({}, {"$unset": {"metadata": ""}})
    done = await desk.restore(snapshot, "deploys", delete_others=True)
    assert counts(done) == {"applied": 40 - lost.count}
    assert [gap.chunk for gap in done.gaps] == [lost]
    assert done.spared == lost.count
    assert not done.smooth
    assert await desk.deploys.count_documents({}) == 40


async def test_documents_go_into_another_collection(desk: Desk) -> None:
    snapshot = await desk.bucket.take()
    ask = {"where": FIRST_TEN, "into": "rescued"}
    looked = await desk.restore(snapshot, "deploys", yes=False, **ask)
    assert (looked.made, counts(looked)) == (["rescued"], {"applied": 10})
    done = await desk.restore(snapshot, "deploys", **ask)
    now = await desk.bucket.database()
    assert now["rescued"] == now["deploys"][:10]
    assert counts(await desk.restore(snapshot, "deploys", **ask)) == {"already": 10}
    await desk.undo(done.run)
    assert await desk.database["rescued"].count_documents({}) == 0


async def test_a_dropped_collection_comes_back_with_its_indexes(desk: Desk) -> None:
    await desk.deploys.create_index("value", name="by_value")
    snapshot = await desk.bucket.take()
    before = await desk.deploys.index_information()
    await desk.deploys.drop()
    done = await desk.restore(snapshot, "deploys")
    assert (done.made, counts(done)) == (["deploys"], {"applied": 40})
    assert await desk.deploys.index_information() == before


async def test_what_the_database_refuses_is_told(desk: Desk) -> None:
    await desk.deploys.update_many({"_id": {"$ne": "000"}}, {"$unset": {"number": ""}})
    await desk.deploys.create_index("number", name="once", unique=True, sparse=True)
    snapshot = await desk.bucket.take()
    await desk.deploys.delete_one({"_id": "000"})
    await desk.deploys.insert_one({"_id": "thief", "number": 1})
    done = await desk.restore(snapshot, "deploys")
    assert counts(done) == {"already": 39, "failed": 1}
    assert "duplicate key" in done.tally.named[0][2]


async def test_what_could_not_be_taken_back_is_tried_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = await desk.bucket.take()
    await desk.deploys.update_many(FIRST_TEN, {"$set": {"metadata": 1}})
    broken = await desk.bucket.database()
    done = await desk.restore(snapshot, "deploys", fields=["metadata"])

    async def refused(collection: Any, swaps: Sequence[Any]) -> dict[str, Any]:
        return {swap.name: (Outcome.FAILED, "Document failed validation") for swap in swaps}

    with monkeypatch.context() as patched:
        patched.setattr(undoing, "carry_out", refused)
        assert counts(await desk.undo(done.run)) == {"failed": 10}
    assert counts(await desk.undo(done.run)) == {"applied": 10}
    assert await desk.bucket.database() == broken
    assert counts(await desk.undo(done.run)) == {}


async def test_a_database_that_goes_away_is_no_traceback(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pymongo.errors import AutoReconnect

    async def gone(*arguments: Any) -> Any:
        raise AutoReconnect("connection closed")

    snapshot = await desk.bucket.take()
    await desk.deploys.delete_many(FIRST_TEN)
    monkeypatch.setattr(run, "carry_out", gone)
    with pytest.raises(DatabaseError, match="connection closed") as raised:
        await desk.restore(snapshot, "deploys")
    assert "the same command again does what is left" in raised.value.hint


async def test_orders_that_make_no_sense_are_refused(desk: Desk) -> None:
    for order in (
        {"collections": (), "wanted": Wanted({"a": 1})},
        {"collections": (), "wanted": Wanted({}), "into": "x"},
        {"collections": ("a",), "wanted": Wanted({}), "into": "system.users"},
        {"collections": ("a",), "wanted": Wanted({}), "into": "a$b"},
        {"collections": ("a",), "wanted": Wanted({}), "into": "a..b"},
        {"collections": ("a",), "wanted": Wanted({}), "fields": (("a",),), "delete_others": True},
    ):
        with pytest.raises(UsageError):
            Order(**order)  # type: ignore[arg-type]
    for text in ("", "a..b", "_id"):
        with pytest.raises(UsageError):
            parse_fields([text])
    snapshot = await desk.bucket.take()
    with pytest.raises(UsageError, match="no collection pages"):
        await desk.restore(snapshot, "pages")
    with pytest.raises(NotFoundError):
        await desk.undo("restore-1.1")
    desk.database = desk.database.client["another"]
    with pytest.raises(ConflictError, match="is of database"):
        await desk.restore(snapshot, "deploys")


def made(now: Any, kept: Any, *fields: str) -> Any:
    return bson.decode(target(bson.encode(now), bson.encode(kept), parse_fields(fields)))


def test_a_path_leads_into_sub_documents() -> None:
    kept = {"_id": 1, "m": {"tree": "t", "at": datetime(2017, 2, 2, tzinfo=UTC)}, "n": 1}
    assert made({"_id": 1, "m": {"x": 1}}, kept, "m.tree") == {"_id": 1, "m": {"x": 1, "tree": "t"}}
    assert made({"_id": 1}, kept, "m.tree,n") == {"_id": 1, "m": {"tree": "t"}, "n": 1}
    assert made({"_id": 1, "m": {"gone": 1}}, kept, "m.gone") == {"_id": 1, "m": {}}
    assert made({"_id": 1}, kept, "m.gone", "other.gone") == {"_id": 1}
    assert list(made({"m": {"at": 1}}, kept, "m.tree")["m"]) == ["tree", "at"]
    with pytest.raises(ValueError, match="m is no document"):
        made({"_id": 1, "m": [1]}, kept, "m.tree")
