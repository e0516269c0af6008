"""Aggregation pipelines: are all stages known, does one write, and what else is read?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from blackstart.guard.rules.kinds import NotKnownError
from blackstart.guard.rules.operators import check_operators
from blackstart.guard.rules.table import Table

_READERS = ("$lookup", "$graphLookup", "$unionWith")


def targets_of(pipeline: object, database: str, table: Table) -> list[tuple[str, str]]:
    """The databases and collections that a pipeline writes to; empty for one that only reads.

    A stage that writes is known at the end only, and in no pipeline within.
    Raises: NotKnownError, NotAllowedError.
    """
    stages = _stages(pipeline)
    known = table.expression_operators | table.query_operators | table.read_stages
    targets = []
    for number, stage in enumerate(stages, start=1):
        ((name, value),) = stage.items()
        check_operators(value, table, known)
        if name in table.write_stages and number == len(stages):
            targets.append(_target(name, value, database))
        elif name not in table.read_stages:
            raise NotKnownError(f"the stage {name} is not known here")
    return targets


def sources_of(pipeline: object, database: str) -> set[tuple[str, str]]:
    """Other collections that a pipeline reads, however deep it names them.

    Raises: NotKnownError.
    """
    return {
        found
        for name, value in _walk(pipeline)
        if name in _READERS and (found := _source(name, value, database)) is not None
    }


def _target(name: str, value: object, database: str) -> tuple[str, str]:
    into = value.get("into") if name == "$merge" and isinstance(value, Mapping) else value
    if isinstance(into, str):
        return database, into
    if isinstance(into, Mapping):
        other, collection = into.get("db", database), into.get("coll")
        if isinstance(other, str) and isinstance(collection, str):
            return other, collection
    raise NotKnownError(f"{name} does not say where to write")


def _source(name: str, value: object, database: str) -> tuple[str, str] | None:
    if isinstance(value, str):
        return database, value
    if not isinstance(value, Mapping):
        raise NotKnownError(f"{name} does not say what to read")
    found: Any = value.get("coll") if name == "$unionWith" else value.get("from")
    other = value.get("db", database)
    if isinstance(found, Mapping):
        other, found = found.get("db", other), found.get("coll")
    if found is None:
        return None
    if not isinstance(found, str) or not isinstance(other, str):
        raise NotKnownError(f"{name} does not say what to read")
    return other, found


def _stages(pipeline: object) -> list[Mapping[str, Any]]:
    if not isinstance(pipeline, Sequence) or isinstance(pipeline, (str, bytes)):
        raise NotKnownError("a pipeline is not a list")
    for stage in pipeline:
        if not isinstance(stage, Mapping) or len(stage) != 1:
            raise NotKnownError("a stage is not one operator")
    return list(pipeline)


def _walk(value: object) -> Iterator[tuple[str, object]]:
    """Every key with its value."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Mapping):
            yield from each.items()
            waiting += each.values()
        elif isinstance(each, Sequence) and not isinstance(each, (str, bytes)):
            waiting += each
