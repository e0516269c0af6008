"""What one statement of a write command would do to the documents it matches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymongo.errors import PyMongoError

from blackstart.guard.preview.apply import UnforeseenError, applied
from blackstart.guard.preview.diff import Difference, Tally, difference
from blackstart.guard.preview.model import GONE, Part, Sample
from blackstart.guard.preview.sight import Sight
from blackstart.guard.rules import Action, Write
from blackstart.guard.rules.changes import is_replacement

LOOKED_AT = 1_000
LOOKED_AT_PIPELINE = 50
SAMPLES = 3
_COUNTED = ("collation", "let", "hint")


async def foresee(write: Write, sight: Sight) -> Part:
    """Raises: PyMongoError."""
    if write.action is Action.INSERT:
        return await _insert(write, sight)
    total = await sight.reads.total(write.database, write.collection)
    counted, notes = await _matched(write, sight)
    if write.action is Action.REMOVE:
        return await _remove(write, sight, counted, total, notes)
    return await _update(write, sight, counted, total, notes)


async def _matched(write: Write, sight: Sight) -> tuple[int | None, list[str]]:
    options = {key: write.options[key] for key in _COUNTED if key in write.options}
    notes = []
    try:
        counted = await sight.reads.count(write.database, write.collection, write.filter, **options)
    except PyMongoError as error:
        return None, [f"how many match could not be counted: {sight.error(error)}"]
    if counted > 1 and not write.many:
        notes.append("only one of them is touched, and nothing says which")
    if counted == 0 and write.upsert:
        notes.append("no document matches, so that one would be inserted")
    return counted, notes


async def _insert(write: Write, sight: Sight) -> Part:
    ids = [each["_id"] for each in write.documents if isinstance(each, Mapping) and "_id" in each]
    known = 0
    for start in range(0, len(ids), LOOKED_AT):
        some = {"_id": {"$in": ids[start : start + LOOKED_AT]}}
        known += await sight.reads.count(write.database, write.collection, some)
    warning = f"{known} of them have an _id that is there already: these fail"
    return Part(
        what=f"insert {len(write.documents)} documents",
        namespace=write.namespace,
        warnings=(warning,) if known else (),
        notes=tuple(sight.text(each) for each in write.documents[:SAMPLES]),
    )


async def _remove(
    write: Write, sight: Sight, counted: int | None, total: int, notes: list[str]
) -> Part:
    samples = []
    async for document in sight.reads.matching(write, SAMPLES):
        samples.append(Sample(sight.id(document), sight.fields(document), None, GONE))
    return Part(
        what="delete" if write.many else "delete one",
        namespace=write.namespace,
        matched=counted,
        total=total,
        warnings=("this empties the collection",) if write.many and counted == total else (),
        notes=tuple(notes),
        samples=tuple(samples),
    )


async def _update(
    write: Write, sight: Sight, counted: int | None, total: int, notes: list[str]
) -> Part:
    assert write.change is not None
    tally, samples = Tally(), list[Sample]()
    unforeseen: dict[str, int] = {}
    limit = LOOKED_AT if isinstance(write.change, Mapping) else LOOKED_AT_PIPELINE
    async for before in sight.reads.matching(write, limit):
        try:
            after = await _after(before, write, sight)
        except UnforeseenError as error:
            unforeseen[str(error)] = unforeseen.get(str(error), 0) + 1
            if len(samples) < SAMPLES:
                samples.append(_unforeseen(before, str(error), sight))
            continue
        found = difference(before, after)
        tally.add(found)
        if len(samples) < SAMPLES and not found.is_nothing:
            samples.append(_sample(before, after, found, sight))
    notes += [f"{reason} ({count} documents)" for reason, count in unforeseen.items()]
    return _part(write, sight, tally, counted, total, notes, samples)


async def _after(before: dict[str, Any], write: Write, sight: Sight) -> dict[str, Any]:
    """Raises: UnforeseenError; PyMongoError."""
    if isinstance(write.change, Mapping):
        return applied(before, write.change)
    assert write.change is not None
    # The stages of an update are stages of an aggregation too, which only reads.
    variables = {**write.options.get("let", {}), **write.options.get("c", {})}
    variables |= write.options.get("constants", {})
    stages = [{"$match": {"_id": {"$eq": before["_id"]}}}, *write.change]
    options = {"let": variables} if variables else {}
    answers = await sight.reads.aggregate(write.database, write.collection, stages, **options)
    if not answers:
        raise UnforeseenError("a document went away meanwhile")
    return {"_id": before["_id"]} | answers[0]


def _part(
    write: Write,
    sight: Sight,
    tally: Tally,
    counted: int | None,
    total: int,
    notes: list[str],
    samples: list[Sample],
) -> Part:
    asked = _asked(write)
    unset = {path: count for path, count in tally.dropped.items() if _within(path, asked)}
    rest = {path: count for path, count in tally.dropped.items() if path not in unset}
    dropped = sight.paths(rest)
    if tally.documents and not tally.changed:
        notes.append("nothing would change in those looked at")
    return Part(
        what=_what(write),
        namespace=write.namespace,
        matched=counted,
        total=total,
        looked_at=tally.documents,
        set=sight.paths(tally.set),
        unset=sight.paths(unset),
        replaced=sight.paths(tally.replaced),
        dropped=dropped,
        warnings=tuple(_warnings(dropped, tally)),
        notes=tuple(notes),
        samples=tuple(samples),
    )


def _warnings(dropped: Mapping[str, int], tally: Tally) -> list[str]:
    """Existing fields that vanish although nobody asked to remove them, by what they lie in."""
    by_parent: dict[str, list[str]] = {}
    for path in sorted(dropped):
        parent = path.rpartition(".")[0]
        if not any(path.startswith(f"{each}.") for each in dropped):
            by_parent.setdefault(parent, []).append(path)
    warnings = []
    for parent, paths in by_parent.items():
        count = max(dropped[path] for path in paths)
        whole = f"{parent} is replaced whole" if parent else "the document is replaced whole"
        warnings.append(
            f"{whole}: {', '.join(paths)} would be lost, "
            f"in {count} of {tally.documents} documents looked at"
        )
    return warnings


def _what(write: Write) -> str:
    kind = "replace" if write.change is not None and is_replacement(write.change) else "update"
    return f"{kind}{'' if write.many else ' one'}{' or insert' if write.upsert else ''}"


def _asked(write: Write) -> set[str]:
    """The paths that a statement says it removes."""
    change = write.change
    if isinstance(change, Mapping):
        return {*change.get("$unset", {}), *change.get("$rename", {})}
    asked: set[str] = set()
    for stage in change or ():
        removed = stage.get("$unset", ())
        asked |= {removed} if isinstance(removed, str) else set(removed)
    return asked


def _within(path: str, asked: set[str]) -> bool:
    return any(path == each or path.startswith(f"{each}.") for each in asked)


def _sample(
    before: Mapping[str, Any], after: Mapping[str, Any], found: Difference, sight: Sight
) -> Sample:
    """Only the top-level fields in which something changes."""
    names = {path.partition(".")[0] for path in found.set | found.dropped}
    return Sample(sight.id(before), *sight.both(before, after, names))


def _unforeseen(before: Mapping[str, Any], reason: str, sight: Sight) -> Sample:
    note = f"what comes after is not foreseen: {reason}"
    return Sample(sight.id(before), sight.fields(before), None, note)
