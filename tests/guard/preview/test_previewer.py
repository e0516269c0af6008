"""Previews of held writes: what a reviewer sees, over a real database that they leave alone."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pymongo.monitoring
import pytest
from pymongo import AsyncMongoClient

from blackstart.guard.preview import Preview, Previewer
from blackstart.guard.redact import Redaction
from blackstart.guard.rules import Command, Decision, Judge, Kind, Table, Verdict
from blackstart.store import MetadataStore

JUDGE = Judge(Table.load())
METADATA = {"tree": "t", "completed_at": "c", "file_count": 3, "byte_count": 5}


class Commands(pymongo.monitoring.CommandListener):
    """Notes the names of all commands that a client sends."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def started(self, event: Any) -> None:
        self.names.append(event.command_name)

    def succeeded(self, event: Any) -> None: ...

    def failed(self, event: Any) -> None: ...


class Bench:
    """Judges a command on the test's database, and previews it."""

    def __init__(self, store: MetadataStore, previewer: Previewer, sent: Commands) -> None:
        self.database = store.database
        self.previewer = previewer
        self.sent = sent

    def judge(self, body: dict[str, Any]) -> Verdict:
        return JUDGE.judge(Command.of({**body, "$db": self.database.name}))

    async def preview(self, body: dict[str, Any]) -> Preview:
        verdict = self.judge(body)
        assert verdict.decision is Decision.HOLD
        found = await self.previewer.of(verdict)
        assert Preview.of_row(json.loads(json.dumps(found.row()))) == found
        return found

    async def deploys(self, count: int = 40) -> None:
        some = range(count)
        rows = [
            {"_id": f"d{n:03}", "site_id": n, "state": "ready", "metadata": METADATA} for n in some
        ]
        await self.database["deploys"].insert_many(rows)


@pytest.fixture
async def bench(store: MetadataStore, mongodb_uri: str, manual_clock: Any) -> Any:
    sent = Commands()
    async with AsyncMongoClient[Any](mongodb_uri, event_listeners=[sent]) as client:
        yield Bench(store, Previewer(client, manual_clock, Redaction()), sent)
    allowed = {"aggregate", "find", "getMore", "killCursors", "count"}
    allowed |= {"listIndexes", "listCollections", "hello", "ismaster", "endSessions"}
    assert set(sent.names) <= allowed


def update(change: Any, found: Any = None, collection: str = "deploys") -> dict[str, Any]:
    return {"update": collection, "updates": [{"q": found or {}, "u": change, "multi": True}]}


async def test_the_migration_of_february_2_is_called_out(bench: Bench) -> None:
    await bench.deploys(40)
    some = {"_id": {"$in": ["d001", "d002"]}}
    found = await bench.preview(update({"$set": {"metadata": {"migrated": True}}}, some))
    (part,) = found.parts
    assert (part.matched, part.total, part.percent) == (2, 40, 5.0)
    assert part.replaced == {"metadata": 2}
    assert part.set == {"metadata.migrated": 2}
    lost = {f"metadata.{name}": 2 for name in sorted(METADATA)}
    assert part.dropped == lost
    (warning,) = part.warnings
    assert warning == (
        "metadata is replaced whole: metadata.byte_count, metadata.completed_at, "
        "metadata.file_count, metadata.tree would be lost, in 2 of 2 documents looked at"
    )
    assert part.samples[0].id == "d001"
    assert part.samples[0].before["metadata"] == json.dumps(METADATA)
    assert part.samples[0].after == {"metadata": '{"migrated": true}'}
    assert any("5.0 % of 40" in line for line in found.lines())


async def test_setting_a_single_field_drops_nothing(bench: Bench) -> None:
    await bench.deploys()
    found = await bench.preview(update({"$set": {"metadata.tree": "u"}}))
    assert found.warnings == ()
    assert found.parts[0].set == {"metadata.tree": 40}


async def test_what_was_asked_to_go_is_no_surprise(bench: Bench) -> None:
    await bench.deploys()
    found = await bench.preview(update({"$unset": {"metadata.tree": ""}}))
    assert found.parts[0].unset == {"metadata.tree": 40}
    assert found.warnings == ()


async def test_a_pipeline_is_worked_out_by_the_database(bench: Bench) -> None:
    await bench.deploys(3)
    pipeline = [{"$set": {"metadata.size": {"$multiply": ["$metadata.byte_count", 2]}}}]
    found = await bench.preview(update(pipeline))
    assert found.parts[0].set == {"metadata.size": 3}
    after = found.parts[0].samples[0].after
    assert after is not None
    assert '"size": 10' in after["metadata"]
    whole = await bench.preview(update([{"$replaceWith": {"gone": True}}]))
    assert "the document is replaced whole" in whole.warnings[0]


async def test_a_replacement_of_one_names_what_it_drops(bench: Bench) -> None:
    await bench.deploys(3)
    body = {"update": "deploys", "updates": [{"q": {"_id": "d001"}, "u": {"state": "ready"}}]}
    found = await bench.preview(body)
    assert found.warnings == (
        "the document is replaced whole: metadata, site_id would be lost, "
        "in 1 of 1 documents looked at",
    )


async def test_an_update_of_any_one_says_that_nothing_says_which(bench: Bench) -> None:
    await bench.deploys(3)
    body = {"update": "deploys", "updates": [{"q": {"state": "ready"}, "u": {"$set": {"a": 1}}}]}
    found = await bench.preview(body)
    assert found.parts[0].matched == 3
    assert "only one of them is touched, and nothing says which" in found.parts[0].notes


async def test_what_cannot_be_worked_out_is_told(bench: Bench) -> None:
    await bench.deploys(3)
    found = await bench.preview(update({"$set": {"metadata.$[x]": 1}}))
    assert "names elements by what the filter found (3 documents)" in found.parts[0].notes[0]
    assert found.parts[0].samples[0].after is None


async def test_a_delete_of_all_says_that_nothing_is_left(bench: Bench) -> None:
    await bench.deploys(3)
    found = await bench.preview({"delete": "deploys", "deletes": [{"q": {}, "limit": 0}]})
    assert found.warnings == ("this empties the collection",)
    assert found.parts[0].samples[0].note == "would be gone"


async def test_an_insert_over_existing_ids_says_how_many(bench: Bench) -> None:
    await bench.deploys(3)
    rows = [{"_id": f"d{n:03}"} for n in range(5)]
    found = await bench.preview({"insert": "deploys", "documents": rows})
    assert found.warnings == ("3 of them have an _id that is there already: these fail",)


async def test_an_upsert_that_finds_nothing_says_so(bench: Bench) -> None:
    body = update({"$set": {"a": 1}}, {"name": "nobody"}, "sites")
    body["updates"][0]["upsert"] = True
    found = await bench.preview(body)
    assert "no document matches, so that one would be inserted" in found.parts[0].notes


async def test_a_drop_tells_documents_and_indexes(bench: Bench) -> None:
    await bench.deploys(3)
    (warning,) = (await bench.preview({"drop": "deploys"})).warnings
    assert warning.startswith("3 documents and ")
    assert "_id_" in warning
    gone = await bench.preview({"drop": "nowhere"})
    assert gone.parts[0].notes == ("there is no such collection",)


async def test_dropping_the_database_tells_every_collection(bench: Bench) -> None:
    await bench.deploys(3)
    found = await bench.preview({"dropDatabase": 1})
    assert f"{bench.database.name}.deploys" in {part.namespace for part in found.parts}


async def test_renaming_over_a_collection_tells_what_goes(bench: Bench) -> None:
    await bench.deploys(3)
    await bench.database["other"].insert_one({"a": 1})
    name = bench.database.name
    body = {"renameCollection": f"{name}.other", "to": f"{name}.deploys", "dropTarget": True}
    found = await bench.preview(body)
    assert found.warnings[0].startswith("3 documents")
    del body["dropTarget"]
    assert (await bench.preview(body)).warnings == ()


async def test_out_tells_what_it_replaces_and_with_how_many(bench: Bench) -> None:
    await bench.deploys(4)
    await bench.database["target"].insert_one({"a": 1})
    pipeline = [{"$match": {"_id": {"$gt": "d001"}}}, {"$out": "target"}]
    found = await bench.preview({"aggregate": "deploys", "pipeline": pipeline, "cursor": {}})
    assert found.warnings == ("all 1 documents of target would be replaced",)
    assert "2 documents would be written" in found.parts[0].notes


async def test_an_index_tells_what_would_age_away_or_comes_twice(
    bench: Bench, manual_clock: Any
) -> None:
    now = manual_clock.now()
    rows = [{"_id": n, "at": now - timedelta(days=n), "k": n // 2} for n in range(6)]
    await bench.database["log"].insert_many(rows)
    index = {"key": {"at": 1}, "name": "at", "expireAfterSeconds": 3 * 86_400}
    aging = await bench.preview({"createIndexes": "log", "indexes": [index]})
    assert aging.warnings == ("3 documents would be deleted at once, and others as they age",)
    unique = {"key": {"k": 1}, "name": "k", "unique": True}
    found = await bench.preview({"createIndexes": "log", "indexes": [unique]})
    assert found.warnings == ("3 values come more than once: the index would fail",)


async def test_dropping_indexes_names_them(bench: Bench) -> None:
    await bench.database["log"].create_index("a", name="by_a")
    await bench.database["log"].create_index("b", name="by_b")
    for asked, count in (("*", 2), ("by_a", 1), (["by_b"], 1), ({"a": 1}, 1), ("none", 0)):
        found = await bench.preview({"dropIndexes": "log", "index": asked})
        assert len(found.warnings) == count


async def test_a_validator_tells_how_many_documents_fail_it(bench: Bench) -> None:
    await bench.deploys(3)
    body = {"collMod": "deploys", "validator": {"metadata.tree": {"$type": "int"}}}
    found = await bench.preview(body)
    assert found.warnings == ("3 documents that are there would not be valid",)


async def test_a_transaction_is_shown_statement_by_statement(bench: Bench) -> None:
    await bench.deploys(2)
    writes = tuple(
        write
        for number in range(60)
        for write in bench.judge(
            {
                "update": "deploys",
                "updates": [{"q": {"_id": f"d{number:03}"}, "u": {"$set": {"a": 1}}}],
            }
        ).writes
    )
    command = Command.of({"commitTransaction": 1, "$db": "admin"})
    verdict = Verdict(Decision.HOLD, Kind.SEVERAL, "commit", command, writes=writes)
    found = await bench.previewer.of(verdict)
    assert [part.matched for part in found.parts[:3]] == [1, 1, 0]
    assert found.notes == ("10 more statements were not looked at",)


async def test_a_database_that_is_gone_leaves_a_note_and_no_error(manual_clock: Any) -> None:
    uri = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=50"
    verdict = JUDGE.judge(Command.of({"drop": "sites", "$db": "shop"}))
    async with AsyncMongoClient[Any](uri) as client:
        found = await Previewer(client, manual_clock, Redaction()).of(verdict)
    assert found.parts == ()
    assert found.notes[0].startswith("the rest could not be foreseen")
