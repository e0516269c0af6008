"""Aggregation as far as it goes on a snapshot: stage after stage, streaming where it can."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from blackstart.recovery.mount.budget import Budget
from blackstart.recovery.mount.expressions import MISSING, Expression, expression
from blackstart.recovery.mount.filters import Filter
from blackstart.recovery.mount.groups import Group
from blackstart.recovery.mount.projection import Projection
from blackstart.recovery.mount.query import Query
from blackstart.recovery.mount.sorting import Sort
from blackstart.recovery.mount.source import Found, Source
from blackstart.seed import Seed
from blackstart.wire import CommandError

Documents = AsyncIterator[Found]
Stage = Callable[[Documents], Documents]

FIGURES = frozenset({"$collStats", "$indexStats"})
_MAX_STAGES = 100
_MAX_SAMPLE = 100_000
_WRITES = frozenset({"$out", "$merge"})


class Pipeline:
    """One pipeline; its first `$match` chooses what is read at all.

    `about` names a first stage of `FIGURES`: then what goes in is not documents.

    Raises: CommandError, when it is made, for a stage that is not done on a snapshot.
    """

    def __init__(self, spec: Any) -> None:
        if not isinstance(spec, list) or len(spec) > _MAX_STAGES:
            raise CommandError("TypeMismatch", f"a pipeline is an array of at most {_MAX_STAGES}")
        stages = [_named(stage) for stage in spec]
        self.about = stages[0][0] if stages and stages[0][0] in FIGURES else None
        stages = stages[1:] if self.about else stages
        first = stages[0] if stages else ("", None)
        self.query = Query(_document(*first) if first[0] == "$match" else {})
        rest = stages[1:] if first[0] == "$match" else stages
        self._stages = [
            _sorted_first(argument, _whole("$limit", rest[number + 1][1]))
            if name == "$sort" and number + 1 < len(rest) and rest[number + 1][0] == "$limit"
            else _stage(name, argument)
            for number, (name, argument) in enumerate(rest)
        ]

    def run(self, source: Source, collection: str, budget: Budget) -> Documents:
        """What comes out at the end, when it is asked for."""
        return self.run_on(self.query.run(source, collection, budget))

    def run_on(self, documents: Documents) -> Documents:
        """What comes out when these go in; of a pipeline that begins with its `about`."""
        for stage in self._stages:
            documents = stage(documents)
        return documents


def _named(stage: Any) -> tuple[str, Any]:
    if not isinstance(stage, Mapping) or len(stage) != 1:
        raise CommandError("BadValue", "a pipeline stage must contain exactly one field")
    ((name, argument),) = stage.items()
    return name, argument


def _stage(name: str, argument: Any) -> Stage:
    if name in _WRITES:
        raise CommandError("IllegalOperation", f"{name} writes, and a snapshot is read-only")
    make = _STAGES.get(name)
    if make is None:
        raise CommandError("NotImplemented", f"the stage {name} is not done on a snapshot")
    return make(name, argument)


def _match(name: str, argument: Any) -> Stage:
    matching = Filter(_document(name, argument))

    async def run(documents: Documents) -> Documents:
        async for found in documents:
            if matching.matches(found.document):
                yield found

    return run


def _sort(name: str, argument: Any) -> Stage:
    sort = Sort(_document(name, argument))

    async def run(documents: Documents) -> Documents:
        for found in await sort.all(documents):
            yield found

    return run


def _sorted_first(argument: Any, count: int) -> Stage:
    """A sort before a limit holds no more than that; the limit itself changes nothing then."""
    sort = Sort(_document("$sort", argument))

    async def run(documents: Documents) -> Documents:
        for found in await sort.first(documents, count):
            yield found

    return run


def _limit(name: str, argument: Any) -> Stage:
    count = _whole(name, argument)
    if count == 0:
        raise CommandError("BadValue", "the limit must be positive")

    async def run(documents: Documents) -> Documents:
        left = count
        async for found in documents:
            yield found
            left -= 1
            if left == 0:
                return

    return run


def _skip(name: str, argument: Any) -> Stage:
    count = _whole(name, argument)

    async def run(documents: Documents) -> Documents:
        left = count
        async for found in documents:
            if left:
                left -= 1
            else:
                yield found

    return run


def _project(name: str, argument: Any) -> Stage:
    """Fields that are kept or left out, and fields that are computed from others."""
    spec = _document(name, argument)
    computed = {key: expression(value) for key, value in spec.items() if _computes(value)}
    kept = {key: value for key, value in spec.items() if key not in computed}
    if not spec:
        raise CommandError("BadValue", "$project takes at least one field")
    if computed and not all(value for key, value in kept.items() if key != "_id"):
        raise CommandError("BadValue", "$project cannot exclude fields and compute others")
    if computed and not set(kept) - {"_id"}:
        return _mapped(_id_alone if kept.get("_id", True) else _nothing, computed)
    return _mapped(Projection(kept), computed)


def _id_alone(document: Mapping[str, Any]) -> dict[str, Any]:
    return {"_id": document["_id"]} if "_id" in document else {}


def _nothing(document: Mapping[str, Any]) -> dict[str, Any]:
    return {}


def _unset(name: str, argument: Any) -> Stage:
    paths = [argument] if isinstance(argument, str) else argument
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise CommandError("BadValue", "$unset takes a field, or an array of them")
    return _mapped(Projection(dict.fromkeys(paths, 0)), {})


def _set(name: str, argument: Any) -> Stage:
    spec = _document(name, argument)
    return _mapped(dict, {key: expression(value) for key, value in spec.items()})


def _mapped(keep: Callable[[Any], dict[str, Any]], computed: dict[str, Expression]) -> Stage:
    for key in computed:
        if "." in key or key.startswith("$"):
            raise CommandError("NotImplemented", f"a field {key!r} is not computed on a snapshot")

    async def run(documents: Documents) -> Documents:
        async for found in documents:
            document = keep(found.document)
            for key, compute in computed.items():
                value = compute(found.document)
                document.pop(key, None) if value is MISSING else document.update({key: value})
            yield Found.made(document)

    return run


def _computes(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(key.startswith("$") or _computes(each) for key, each in value.items())
    return isinstance(value, (str, list))


def _count(name: str, argument: Any) -> Stage:
    if not isinstance(argument, str) or not argument or argument[0] == "$" or "." in argument:
        raise CommandError("BadValue", "$count takes the name of a field")

    async def run(documents: Documents) -> Documents:
        total = 0
        async for _ in documents:
            total += 1
        if total:
            yield Found.made({argument: total})

    return run


def _sample(name: str, argument: Any) -> Stage:
    """A sample that is the same each time, drawn while all go by (Vitter's algorithm R)."""
    size = _whole(name, _document(name, argument).get("size"))
    if not 0 < size <= _MAX_SAMPLE:
        raise CommandError("BadValue", f"$sample takes a size from 1 to {_MAX_SAMPLE}")

    async def run(documents: Documents) -> Documents:
        draw = Seed(0, "sample").random.randrange
        kept: list[Found] = []
        seen = 0
        async for found in documents:
            seen += 1
            if len(kept) < size:
                kept.append(found)
            elif (at := draw(seen)) < size:
                kept[at] = found
        for found in kept:
            yield found

    return run


def _group(name: str, argument: Any) -> Stage:
    return Group(argument).run


def _sort_by_count(name: str, argument: Any) -> Stage:
    group = Group({"_id": argument, "count": {"$sum": 1}})
    sort = Sort({"count": -1})

    async def run(documents: Documents) -> Documents:
        for found in await sort.all(group.run(documents)):
            yield found

    return run


def _document(name: str, argument: Any) -> Mapping[str, Any]:
    if not isinstance(argument, Mapping):
        raise CommandError("TypeMismatch", f"{name} takes a document")
    return argument


def _whole(name: str, argument: Any) -> int:
    if isinstance(argument, bool) or not isinstance(argument, (int, float)):
        raise CommandError("TypeMismatch", f"{name} takes a number")
    if argument < 0 or argument != argument or argument != int(min(argument, 2**63)):
        raise CommandError("BadValue", f"{name} takes a whole number that is not negative")
    return int(argument)


_STAGES: dict[str, Callable[[str, Any], Stage]] = {
    "$match": _match,
    "$sort": _sort,
    "$limit": _limit,
    "$skip": _skip,
    "$project": _project,
    "$unset": _unset,
    "$set": _set,
    "$addFields": _set,
    "$count": _count,
    "$group": _group,
    "$sample": _sample,
    "$sortByCount": _sort_by_count,
}
