"""Commands that read no documents: what a tool asks when it connects, what is listed, refused."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import bson
import pytest
from bson import Int64
from pymongo import AsyncMongoClient
from pymongo.errors import BulkWriteError, OperationFailure
from pymongo.read_concern import ReadConcern
from tests.recovery.mount.conftest import Mounted
from tests.wire.test_parsing import body, message_of, msg, sequence

from blackstart.errors import DigestMismatchError, ObjectNotFoundError, StorageError
from blackstart.recovery.mount.writes import WRITES
from blackstart.wire import CommandError, Peer

PEER = Peer(1, "127.0.0.1:1")


async def asked(mounted: Mounted, command: str, value: Any = 1, **more: Any) -> dict[str, Any]:
    database = more.pop("db", "blackstart")
    answer: dict[str, Any] = await mounted.client[database].command(command, value, **more)
    return answer


async def refused(mounted: Mounted, command: str, value: Any = 1, **more: Any) -> Any:
    with pytest.raises(OperationFailure) as failure:
        await asked(mounted, command, value, **more)
    return failure.value


async def test_a_mount_gives_itself_as_a_read_only_standalone_of_mongodb_7(
    mounted: Mounted,
) -> None:
    hello = await asked(mounted, "hello", db="admin")
    assert (hello["isWritablePrimary"], hello["readOnly"]) == (True, True)
    assert (hello["minWireVersion"], hello["maxWireVersion"]) == (0, 21)
    assert hello["localTime"].replace(tzinfo=UTC) == mounted.clock.now()
    assert not {"setName", "msg", "hosts"} & set(hello)
    assert "ismaster" in await asked(mounted, "isMaster", db="admin")
    info = await mounted.client.server_info()
    assert info["version"] == "7.0.0"
    assert info["versionArray"] == [7, 0, 0, 0]


async def test_a_client_may_compress(mounted: Mounted) -> None:
    uri = f"{mounted.uri}&compressors=zlib"
    async with AsyncMongoClient[dict[str, Any]](uri) as client:
        found = await client["blackstart"]["deploys"].find({"state": "ready"}).to_list()
    assert len(found) == 666


@pytest.mark.parametrize(
    ("command", "value", "more"),
    [
        ("ping", 1, {}),
        ("connectionStatus", 1, {"showPrivileges": True}),
        ("getParameter", 1, {"featureCompatibilityVersion": 1}),
        ("getParameter", "*", {}),
        ("getParameter", {"allParameters": True}, {}),
        ("getLog", "startupWarnings", {}),
        ("getLog", "*", {}),
        ("getCmdLineOpts", 1, {}),
        ("hostInfo", 1, {}),
        ("serverStatus", 1, {}),
        ("whatsmyuri", 1, {}),
        ("listCommands", 1, {}),
        ("endSessions", [], {}),
        ("killSessions", [], {}),
        ("buildinfo", 1, {}),
    ],
)
async def test_what_tools_ask_is_answered(
    mounted: Mounted, command: str, value: Any, more: dict[str, Any]
) -> None:
    answer = await asked(mounted, command, value, db="admin", **more)
    assert answer["ok"] == 1.0
    bson.encode(answer)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("atlasVersion", 59),
        ("replSetGetStatus", 59),
        ("nonsense", 59),
        ("saslStart", 18),
        ("getParameter", 72),
    ],
)
async def test_what_a_standalone_does_not_know_has_mongodb_s_codes(
    mounted: Mounted, command: str, code: int
) -> None:
    assert (await refused(mounted, command, db="admin")).code == code


@pytest.mark.parametrize("command", sorted(WRITES))
async def test_every_write_is_refused_with_illegal_operation(
    mounted: Mounted, command: str
) -> None:
    failure = await refused(mounted, command, "deploys", documents=[{"_id": 1}])
    assert failure.code == 20
    assert failure.details["codeName"] == "IllegalOperation"
    assert "read-only" in failure.details["errmsg"]


async def test_drivers_ways_to_write_are_refused(mounted: Mounted) -> None:
    deploys = mounted.deploys
    for write in (
        deploys.insert_one({"_id": 1}),
        deploys.update_one({"_id": 1}, {"$set": {"a": 1}}),
        deploys.update_many({}, {"$set": {"a": 1}}),
        deploys.delete_many({}),
        deploys.find_one_and_delete({}),
        deploys.create_index("a"),
        deploys.drop(),
        mounted.client.drop_database("blackstart"),
        deploys.aggregate([{"$out": "copy"}]),
    ):
        with pytest.raises(OperationFailure) as failure:
            await write
        assert failure.value.code == 20
    assert await deploys.count_documents({}) == 1_000


@pytest.mark.parametrize(("ordered", "errors"), [(True, [0]), (False, [0, 1, 2])])
async def test_every_statement_of_a_bulk_write_is_refused(
    mounted: Mounted, ordered: bool, errors: list[int]
) -> None:
    with pytest.raises(BulkWriteError) as failure:
        await mounted.deploys.insert_many([{} for _ in range(3)], ordered=ordered)
    details = failure.value.details
    assert [each["index"] for each in details["writeErrors"]] == errors
    assert {each["code"] for each in details["writeErrors"]} == {20}
    assert details["nInserted"] == 0


async def test_databases_and_collections_are_listed(mounted: Mounted) -> None:
    assert await mounted.client.list_database_names() == ["blackstart"]
    listed = await asked(mounted, "listDatabases", db="admin")
    assert listed["totalSize"] == mounted.snapshot.raw_bytes("deploys") + (
        mounted.snapshot.raw_bytes("sites")
    )
    assert (await asked(mounted, "listDatabases", db="admin", filter={"name": "x"}))[
        "databases"
    ] == []
    database = mounted.client["blackstart"]
    assert await database.list_collection_names() == ["deploys", "sites"]
    assert await database.list_collection_names(filter={"name": {"$regex": "^s"}}) == ["sites"]
    (deploys,) = await (await database.list_collections(filter={"name": "deploys"})).to_list()
    assert deploys["options"] == {"validator": {"state": {"$exists": True}}}
    assert deploys["info"] == {"readOnly": True}
    assert await mounted.client["other"].list_collection_names() == []


async def test_indexes_are_listed_as_the_snapshot_has_them(mounted: Mounted) -> None:
    assert list(await mounted.deploys.index_information()) == ["_id_", "site_id_1"]
    assert (await refused(mounted, "listIndexes", "nobody")).code == 26


async def test_figures_are_those_of_the_snapshot(mounted: Mounted) -> None:
    size = mounted.snapshot.raw_bytes("deploys")
    stats = await asked(mounted, "collStats", "deploys")
    assert (stats["count"], stats["size"], stats["nindexes"]) == (1_000, size, 2)
    assert (await asked(mounted, "collStats", "nobody"))["count"] == 0
    whole = await asked(mounted, "dbStats", scale=1024)
    assert (whole["collections"], whole["objects"], whole["indexes"]) == (2, 1_003, 4)
    pipeline: list[Any] = [{"$collStats": {"storageStats": {}}}, {"$project": {"count": 1}}]
    assert await (await mounted.deploys.aggregate(pipeline)).to_list() == [{"count": 1_000}]
    pipeline = [{"$indexStats": {}}, {"$sort": {"name": -1}}, {"$limit": 1}]
    (index,) = await (await mounted.deploys.aggregate(pipeline)).to_list()
    assert (index["name"], index["key"]) == ("site_id_1", {"site_id": 1})
    with pytest.raises(OperationFailure) as failure:
        await mounted.client["blackstart"]["nobody"].aggregate([{"$collStats": {}}])
    assert failure.value.code == 26


async def test_a_sample_is_drawn_from_all_and_is_the_same_each_time(mounted: Mounted) -> None:
    pipeline = [{"$sample": {"size": 20}}]
    first = await (await mounted.deploys.aggregate(pipeline)).to_list()
    assert first == await (await mounted.deploys.aggregate(pipeline)).to_list()
    numbers = {each["number"] for each in first}
    assert len(numbers) == 20
    assert max(numbers) > 500


@pytest.mark.parametrize(
    ("spec", "stage"),
    [
        ({"_id": "x"}, "IDHACK"),
        ({"_id": {"$gt": "x"}}, "IXSCAN"),
        ({"site_id": "x"}, "COLLSCAN"),
    ],
)
async def test_explain_says_how_documents_are_found(
    mounted: Mounted, spec: dict[str, Any], stage: str
) -> None:
    for command in (
        {"find": "deploys", "filter": spec},
        {"count": "deploys", "query": spec},
        {"distinct": "deploys", "key": "a", "query": spec},
        {"aggregate": "deploys", "pipeline": [{"$match": spec}], "cursor": {}},
    ):
        plan = (await asked(mounted, "explain", command))["queryPlanner"]
        assert plan["namespace"] == "blackstart.deploys"
        assert plan["winningPlan"]["stage"] == stage
    assert (await refused(mounted, "explain", {"update": "deploys"})).code == 59


@pytest.mark.parametrize(
    ("command", "value", "more", "code"),
    [
        ("find", "deploys", {"oplogReplay": True}, 40415),
        ("find", "deploys", {"tailable": True}, 238),
        ("find", "deploys", {"collation": {"locale": "de"}}, 238),
        ("find", "deploys", {"skip": -1}, 2),
        ("find", "deploys", {"limit": "3"}, 14),
        ("find", "deploys", {"filter": 3}, 14),
        ("find", 3, {}, 73),
        ("find", "", {}, 73),
        ("find", "deploys", {"startTransaction": True, "autocommit": False}, 20),
        ("find", "deploys", {"maxTimeMS": -1}, 2),
        ("count", "deploys", {"limit": "3"}, 14),
        ("count", "deploys", {"query": {"$where": "1"}}, 238),
        ("distinct", "deploys", {"key": 3}, 14),
        ("aggregate", "deploys", {"pipeline": []}, 9),
        ("aggregate", "deploys", {"pipeline": 3, "cursor": {}}, 14),
        ("aggregate", "deploys", {"pipeline": [], "cursor": {"batchSize": "3"}}, 14),
        ("aggregate", 1, {"pipeline": [], "cursor": {}}, 73),
        ("getMore", "3", {"collection": "deploys"}, 14),
        ("getMore", Int64(3), {"collection": "deploys"}, 43),
        ("killCursors", "deploys", {"cursors": 3}, 14),
        ("listCollections", 1, {"filter": {"$where": "1"}}, 238),
    ],
)
async def test_arguments_that_make_no_sense_are_refused(
    mounted: Mounted, command: str, value: Any, more: dict[str, Any], code: int
) -> None:
    assert (await refused(mounted, command, value, **more)).code == code


async def test_a_simple_collation_and_read_concerns_are_taken(mounted: Mounted) -> None:
    deploys = mounted.deploys.with_options(read_concern=ReadConcern("majority"))
    assert await deploys.find_one({"number": 3}, collation={"locale": "simple"}) is not None
    async with mounted.client.start_session() as session:
        assert await deploys.find_one({"number": 3}, session=session) is not None


async def test_a_key_that_comes_twice_is_refused(mounted: Mounted) -> None:
    twice = b"\x10a\0\1\0\0\0"
    inner = b"\x13\0\0\0" + twice + twice + b"\0"
    raw = bson.encode({"find": "deploys", "$db": "blackstart"})[4:-1] + b"\x03filter\0" + inner
    document = (len(raw) + 5).to_bytes(4, "little") + raw + b"\0"
    with pytest.raises(CommandError, match=r"filter\.a"):
        await mounted.mount.commands.answer(message_of(msg(b"\0" + document)), PEER)


async def test_a_command_names_its_database(mounted: Mounted) -> None:
    with pytest.raises(CommandError) as failure:
        await mounted.mount.commands.answer(message_of(msg(body({"ping": 1}))), PEER)
    assert failure.value.code_name == "Location40571"


async def test_a_read_takes_no_sequence_of_documents(mounted: Mounted) -> None:
    message = message_of(
        msg(body({"find": "deploys", "$db": "blackstart"}), sequence(b"documents", {"_id": 1}))
    )
    with pytest.raises(CommandError) as failure:
        await mounted.mount.commands.answer(message, PEER)
    assert failure.value.code_name == "Location40415"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DigestMismatchError("chunk ab of deploys is damaged"), 351),
        (ObjectNotFoundError("chunk ab of deploys is missing"), 351),
        (StorageError("the bucket does not answer"), 8),
    ],
)
async def test_a_damaged_chunk_is_named_to_the_client(
    mounted: Mounted, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    async def get(collection: str, _id: Any) -> None:
        raise error

    monkeypatch.setattr(mounted.snapshot, "get", get)
    with pytest.raises(OperationFailure, match=str(error)) as failure:
        await mounted.deploys.find_one({"_id": "x"})
    assert failure.value.code == code
