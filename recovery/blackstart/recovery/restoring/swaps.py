"""One document that is to be put back: what stood there when we looked, and what shall stand there.

Bringing back, taking back and removing are the same: compare, then set. Only
the fields that differ are compared and set, so that what others do to the
other fields at the same time stays.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bson.raw_bson import RawBSONDocument
from pymongo import DeleteOne, InsertOne, UpdateOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import BulkWriteError

from blackstart.recovery.apply.change import Outcome
from blackstart.recovery.diff import Element, elements, same_fields
from blackstart.recovery.exact import extended_json
from blackstart.recovery.snapshots.documents import id_document, id_of, key_of, split
from blackstart.recovery.snapshots.order import Key

IDS_AT_ONCE = 100
"""Of a longer list the embedded MongoDB finds a thousand a second instead of five thousand."""
MOST_BYTES = 12 * 1024 * 1024
"""Of both states together: a statement of more than 16 MiB is not taken."""
_ARRAY = 0x04

Collection = AsyncCollection[dict[str, Any]]
Write = UpdateOne | InsertOne[Any] | DeleteOne
Verdict = tuple[Outcome, str]


@dataclass(frozen=True)
class Swap:
    """Put `put` where `expect` stands; None is a document that is not there. Never both."""

    collection: str
    expect: bytes | None
    put: bytes | None

    @property
    def id(self) -> bytes:
        """Its `_id`, as `id_of` gives it."""
        return id_of(self.expect or self.put or b"")

    @property
    def key(self) -> Key:
        return key_of(self.expect or self.put or b"")

    @property
    def name(self) -> str:
        """What people and journals call the document."""
        _id = extended_json(id_document(self.id)).get("_id")
        return f"{self.collection} {json.dumps(_id)}"

    @property
    def size(self) -> int:
        return len(self.expect or b"") + len(self.put or b"")

    def touched(self) -> dict[str, tuple[Element | None, Element | None]]:
        """The fields that differ, as expected and as they will be."""
        before = elements(self.expect) if self.expect else {}
        after = elements(self.put) if self.put else {}
        return {
            name: (before.get(name), after.get(name))
            for name in before | after
            if before.get(name) != after.get(name)
        }

    def judge(self, now: bytes | None) -> Verdict | None:
        """What is to be said of the document as it is now; None when it is as expected."""
        if self.put is None or self.expect is None:
            return self._judge_whole(now)
        if now is None:
            return Outcome.GONE, "it is no longer there"
        there, touched = elements(now), self.touched()
        if all(there.get(name) == put for name, (_, put) in touched.items()):
            return Outcome.ALREADY, ""
        if all(there.get(name) == expect for name, (expect, _) in touched.items()):
            return None
        return Outcome.CHANGED, "it changed meanwhile"

    def _judge_whole(self, now: bytes | None) -> Verdict | None:
        if _equal(now, self.put):
            return Outcome.ALREADY, ""
        if _equal(now, self.expect):
            return None
        return Outcome.CHANGED, "it changed meanwhile" if self.expect else "there is another one"

    def write(self) -> Write:
        """As MongoDB takes it. Raises: ValueError that says why it cannot be written."""
        if self.size > MOST_BYTES:
            raise ValueError("it is too large to be compared while it is written")
        if self.expect is None:
            return InsertOne(RawBSONDocument(self.put or b""))
        touched = self.touched()
        where = {name: _exactly(expect) for name, (expect, _) in touched.items()}
        where |= {"_id": elements(self.expect)["_id"].as_stored()}
        for name in touched:
            if "." in name or name.startswith("$"):
                raise ValueError(f"MongoDB has no way to compare the field {name!r}")
        if self.put is None:
            return DeleteOne(where)
        update: dict[str, dict[str, Any]] = {}
        for name, (_, put) in touched.items():
            operator, value = ("$unset", "") if put is None else ("$set", put.as_stored())
            update.setdefault(operator, {})[name] = value
        return UpdateOne(where, update)


def _equal(now: bytes | None, wanted: bytes | None) -> bool:
    if now is None or wanted is None:
        return now is wanted
    return same_fields(now, wanted)


def _exactly(value: Element | None) -> dict[str, Any]:
    """Equal to a value alone: MongoDB takes a missing field for null, and looks into arrays."""
    if value is None:
        return {"$exists": False}
    if value.kind == _ARRAY:
        return {"$eq": value.as_stored()}
    if value.as_stored() is None:
        return {"$type": value.kind}
    return {"$eq": value.as_stored(), "$type": value.kind, "$not": {"$type": "array"}}


async def read(collection: Collection, ids: Sequence[bytes]) -> dict[Key, bytes]:
    """The documents with these `_id`s that exist, byte for byte. Raises: PyMongoError."""
    found: dict[Key, bytes] = {}
    for start in range(0, len(ids), IDS_AT_ONCE):
        wanted = [_value(each) for each in ids[start : start + IDS_AT_ONCE]]
        async with collection.find_raw_batches({"_id": {"$in": wanted}}) as batches:
            async for batch in batches:
                # PyMongo's hints promise documents; a batch is bytes.
                raw: Any = batch
                found |= {key_of(document): document for document in split(raw)}
    return found


def _value(identifier: bytes) -> Any:
    return elements(id_document(identifier))["_id"].as_stored()


async def carry_out(collection: Collection, swaps: Sequence[Swap]) -> dict[str, Verdict]:
    """Compare-and-set many documents of one collection in one unordered write.

    Raises: PyMongoError, and then nobody knows which were written.
    """
    verdicts: dict[str, Verdict] = {swap.name: (Outcome.APPLIED, "") for swap in swaps}
    writes: list[Write] = []
    sent: list[Swap] = []
    for swap in swaps:
        try:
            writes.append(swap.write())
            sent.append(swap)
        except (ValueError, TypeError) as error:
            verdicts[swap.name] = (Outcome.FAILED, str(error))
    if not writes:
        return verdicts
    done, refused = await _send(collection, writes)
    for number, why in refused.items():
        verdicts[sent[number].name] = (Outcome.FAILED, why)
    if done < len(sent):
        verdicts |= await _lost_races(collection, sent, set(refused))
    return verdicts


async def _send(collection: Collection, writes: Sequence[Write]) -> tuple[int, dict[int, str]]:
    """How many found their document as expected, and what the database refused, by place."""
    try:
        result = await collection.bulk_write(list(writes), ordered=False)
    except BulkWriteError as error:
        refused = {
            each["index"]: (str(each.get("errmsg", "")).splitlines() or [""])[0][:160]
            for each in error.details.get("writeErrors", [])
        }
        if not refused:
            raise  # A write concern that was not met: nobody knows what lasts.
        counts = (error.details[name] for name in ("nMatched", "nInserted", "nRemoved"))
        return sum(counts), refused
    return result.matched_count + result.inserted_count + result.deleted_count, {}


async def _lost_races(
    collection: Collection, sent: Sequence[Swap], refused: set[int]
) -> dict[str, Verdict]:
    """Somebody else was there between the look and the write: those are not ours."""
    there = await read(collection, [swap.id for swap in sent])
    lost: dict[str, Verdict] = {}
    for number, swap in enumerate(sent):
        verdict = swap.judge(there.get(swap.key))
        if number in refused:
            # Refused for what is there, and not for what the database forbids.
            if verdict is not None and swap.expect is None:
                lost[swap.name] = verdict
        elif verdict is None or verdict[0] is not Outcome.ALREADY:
            lost[swap.name] = verdict or (Outcome.CHANGED, "it changed meanwhile")
    return lost
