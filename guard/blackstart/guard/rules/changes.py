"""What an update does to a document: is it known, and which paths does it touch?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from blackstart.guard.rules.kinds import Change, NotKnownError
from blackstart.guard.rules.operators import check_expression, check_harmless
from blackstart.guard.rules.table import Table

WHOLE = ""
"""The path of the document itself."""


def check_change(value: object, table: Table) -> Change:
    """An update all of which is known. Raises: NotKnownError, NotAllowedError."""
    if isinstance(value, Mapping):
        return _check_operators(value, table)
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        for stage in value:
            _check_stage(stage, table)
        return value
    raise NotKnownError("an update is neither a document nor a pipeline")


def is_replacement(change: Change) -> bool:
    """Whether the document is replaced whole (a document without operators)."""
    return isinstance(change, Mapping) and not any(key.startswith("$") for key in change)


def touched(change: Change) -> set[str]:
    """The paths it may set, unset or replace; `WHOLE` when that may be any."""
    if isinstance(change, Mapping):
        return {WHOLE} if is_replacement(change) else set(_by_operators(change))
    return {path for stage in change for path in _by_stage(stage)}


def overlaps(path: str, other: str) -> bool:
    """Whether a change of one path changes what lies at the other."""
    if WHOLE in (path, other) or path == other:
        return True
    return path.startswith(f"{other}.") or other.startswith(f"{path}.")


def _check_operators(update: Mapping[str, Any], table: Table) -> Mapping[str, Any]:
    operators = [key for key in update if key.startswith("$")]
    if operators and len(operators) < len(update):
        raise NotKnownError("an update mixes operators with fields")
    for operator in operators:
        if operator not in table.update_operators:
            raise NotKnownError(f"the update operator {operator} is not known")
        fields = update[operator]
        if not isinstance(fields, Mapping):
            raise NotKnownError(f"{operator} has no document")
        if operator == "$rename" and not all(isinstance(each, str) for each in fields.values()):
            raise NotKnownError("$rename does not say what to call it")
    if operators:
        check_harmless(update, table)
    return update


def _check_stage(stage: object, table: Table) -> None:
    if not isinstance(stage, Mapping) or len(stage) != 1:
        raise NotKnownError("a stage is not one operator")
    (name,) = stage
    if name not in table.update_stages:
        raise NotKnownError(f"the stage {name} is not known in an update")
    value = stage[name]
    if name == "$unset" and not _names_fields(value):
        raise NotKnownError("$unset names no fields")
    check_expression(value, table)


def _names_fields(value: object) -> bool:
    listed = [value] if isinstance(value, str) else value
    return isinstance(listed, list) and all(isinstance(each, str) for each in listed)


def _by_operators(update: Mapping[str, Any]) -> Iterable[str]:
    for operator, fields in update.items():
        for path, value in fields.items():
            yield path
            if operator == "$rename":
                yield value


def _by_stage(stage: Mapping[str, Any]) -> Iterable[str]:
    ((name, value),) = stage.items()
    if name in ("$set", "$addFields") and isinstance(value, Mapping):
        return list(value)
    if name == "$unset":
        return [value] if isinstance(value, str) else list(value)
    return [WHOLE]
