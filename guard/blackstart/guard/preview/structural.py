"""What a structural command would take away or forbid: collections, indexes, documents."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from pymongo.errors import PyMongoError

from blackstart.guard.preview.model import Part
from blackstart.guard.preview.reads import COUNT, Reads
from blackstart.guard.preview.sight import Sight
from blackstart.guard.rules import Verdict

Foresight = Callable[[Verdict, Sight], Awaitable[list[Part]]]


async def foresee_structural(verdict: Verdict, sight: Sight) -> list[Part]:
    """Raises: PyMongoError."""
    foresight = _FORESIGHTS.get(verdict.command.name)
    if foresight is not None:
        return await foresight(verdict, sight)
    note = "what it would do cannot be foreseen"
    return [Part(verdict.command.name, _spaces(verdict), notes=(note,))]


def _spaces(verdict: Verdict) -> str:
    return " to ".join(".".join(space) for space in verdict.spaces) or "the server"


async def _loss(reads: Reads, database: str, collection: str, what: str) -> Part:
    """A collection that would be gone with all its documents and indexes."""
    namespace = f"{database}.{collection}"
    if await reads.options(database, collection) is None:
        return Part(what, namespace, notes=("there is no such collection",))
    total = await reads.total(database, collection)
    names = [each["name"] for each in await reads.indexes(database, collection)]
    lost = f"{total} documents and {len(names)} indexes ({', '.join(names)}) would be gone"
    return Part(what, namespace, matched=total, total=total, warnings=(lost,))


async def _drop(verdict: Verdict, sight: Sight) -> list[Part]:
    ((database, collection),) = verdict.spaces
    return [await _loss(sight.reads, database, collection, "drop")]


async def _drop_database(verdict: Verdict, sight: Sight) -> list[Part]:
    ((database, _all),) = verdict.spaces
    names = await sight.reads.collections(database)
    parts = [await _loss(sight.reads, database, name, "dropDatabase") for name in names]
    return parts or [Part("dropDatabase", database, notes=("it has no collections",))]


async def _rename(verdict: Verdict, sight: Sight) -> list[Part]:
    source, target = verdict.spaces
    count = await sight.reads.total(*source)
    note = f"{count} documents of {'.'.join(source)} would be found there"
    part = Part("renameCollection", ".".join(target), notes=(note,))
    if verdict.command.body.get("dropTarget"):
        lost = await _loss(sight.reads, *target, what="renameCollection over it")
        return [lost, part] if lost.warnings else [part]
    return [part]


async def _out(verdict: Verdict, sight: Sight) -> list[Part]:
    body = verdict.command.body
    stage = body["pipeline"][-1]
    ((name, options),) = stage.items()
    ((database, collection),) = verdict.spaces
    total = await sight.reads.total(database, collection)
    came = await _outcome(verdict, sight)
    warnings, notes = [], [came]
    if name == "$out" and total:
        warnings.append(f"all {total} documents of {collection} would be replaced")
    if name == "$merge":
        matched = options.get("whenMatched", "merge") if isinstance(options, Mapping) else "merge"
        notes.append(f"documents that are there already: {sight.text(matched)}")
    part = Part(
        name,
        f"{database}.{collection}",
        total=total,
        warnings=tuple(warnings),
        notes=tuple(notes),
    )
    return [part]


async def _outcome(verdict: Verdict, sight: Sight) -> str:
    """How many documents a pipeline gives without its last stage."""
    body = verdict.command.body
    source = body["aggregate"]
    if not isinstance(source, str):
        return "what it would write was not counted"
    stages = [*body["pipeline"][:-1], COUNT]
    options = {key: body[key] for key in ("let", "collation", "hint") if key in body}
    try:
        found = await sight.reads.aggregate(str(body["$db"]), source, stages, **options)
    except PyMongoError as error:
        return f"what it would write could not be counted: {sight.error(error)}"
    return f"{found[0]['count'] if found else 0} documents would be written"


async def _drop_indexes(verdict: Verdict, sight: Sight) -> list[Part]:
    ((database, collection),) = verdict.spaces
    asked = verdict.command.body.get("index")
    found = await sight.reads.indexes(database, collection)
    gone = [sight.text(dict(each)) for each in found if _is_asked(each, asked)]
    return [
        Part(
            verdict.command.name,
            f"{database}.{collection}",
            warnings=tuple(f"this index would be gone: {each}" for each in gone),
            notes=() if gone else ("no index is meant by it",),
        )
    ]


def _is_asked(index: Mapping[str, Any], asked: Any) -> bool:
    if index["name"] == "_id_":
        return False
    if isinstance(asked, Mapping):
        return dict(index["key"]) == dict(asked)
    names = asked if isinstance(asked, list) else [asked]
    return "*" in names or index["name"] in names


async def _create_indexes(verdict: Verdict, sight: Sight) -> list[Part]:
    ((database, collection),) = verdict.spaces
    warnings, notes = [], []
    for index in verdict.command.body.get("indexes", []):
        notes.append(sight.text(index))
        keys = list(index.get("key", {}))
        seconds = index.get("expireAfterSeconds")
        if isinstance(seconds, (int, float)) and len(keys) == 1:
            gone = await _expired(sight.reads, database, collection, keys[0], seconds, sight.now)
            warnings.append(f"{gone} documents would be deleted at once, and others as they age")
        if index.get("unique") is True:
            twice = await _twice(sight.reads, database, collection, keys)
            if twice:
                warnings.append(f"{twice} values come more than once: the index would fail")
    total = await sight.reads.total(database, collection)
    part = Part(
        "createIndexes",
        f"{database}.{collection}",
        total=total,
        warnings=tuple(warnings),
        notes=tuple(notes),
    )
    return [part]


async def _expired(
    reads: Reads, database: str, collection: str, key: str, seconds: float, now: datetime
) -> int:
    return await reads.count(
        database, collection, {key: {"$lte": now - timedelta(seconds=seconds)}}
    )


async def _twice(reads: Reads, database: str, collection: str, keys: list[str]) -> int:
    values = {f"key{number}": f"${key}" for number, key in enumerate(keys)}
    stages: list[Mapping[str, Any]] = [
        {"$group": {"_id": values, "count": {"$sum": 1}}},
        {"$match": {"count": {"$gt": 1}}},
        COUNT,
    ]
    found = await reads.aggregate(database, collection, stages)
    return int(found[0]["count"]) if found else 0


async def _coll_mod(verdict: Verdict, sight: Sight) -> list[Part]:
    ((database, collection),) = verdict.spaces
    body = verdict.command.body
    warnings, notes = [], []
    if "validator" in body:
        options = await sight.reads.options(database, collection) or {}
        notes.append(f"the validator now: {sight.text(options.get('validator', {}))}")
        notes.append(f"and then: {sight.text(body['validator'])}")
        failing = await sight.reads.count(database, collection, {"$nor": [body["validator"]]})
        if failing:
            warnings.append(f"{failing} documents that are there would not be valid")
    index = body.get("index")
    if isinstance(index, Mapping) and isinstance(index.get("expireAfterSeconds"), (int, float)):
        keys = list(index.get("keyPattern", {}))
        if len(keys) == 1:
            seconds = index["expireAfterSeconds"]
            gone = await _expired(sight.reads, database, collection, keys[0], seconds, sight.now)
            warnings.append(f"{gone} documents would be deleted at once")
    total = await sight.reads.total(database, collection)
    namespace = f"{database}.{collection}"
    return [Part("collMod", namespace, total=total, warnings=tuple(warnings), notes=tuple(notes))]


_FORESIGHTS: dict[str, Foresight] = {
    "drop": _drop,
    "dropDatabase": _drop_database,
    "renameCollection": _rename,
    "aggregate": _out,
    "dropIndexes": _drop_indexes,
    "deleteIndexes": _drop_indexes,
    "createIndexes": _create_indexes,
    "collMod": _coll_mod,
}
