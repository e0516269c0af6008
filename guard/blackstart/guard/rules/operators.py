"""Filters and expressions: are all their operators known, and does a filter name one document?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from bson import Code, DBRef, MaxKey, MinKey, ObjectId, Regex

from blackstart.guard.rules.kinds import NotAllowedError, NotKnownError
from blackstart.guard.rules.table import Table

_PLAIN = frozenset({str, int, float, bool, bytes, type(None), ObjectId, datetime})
"""Values that hold no keys, told apart without asking what they descend from."""
_NEVER_NAMES = (list, tuple, re.Pattern, Regex, Code, DBRef, MinKey, MaxKey)


def check_filter(value: object, table: Table) -> Mapping[str, Any]:
    """A filter all of whose operators are known. Raises: NotKnownError, NotAllowedError."""
    if not isinstance(value, Mapping):
        raise NotKnownError("a filter is not a document")
    check_operators(value, table, table.operators)
    return value


def check_expression(value: object, table: Table) -> None:
    """Raises: NotKnownError, NotAllowedError."""
    # A $match lies in a pipeline like any other stage, so a filter's operators are known here.
    check_operators(value, table, table.operators)


def check_operators(value: object, table: Table, known: frozenset[str]) -> None:
    """Look at every key, however deep. Raises: NotKnownError, NotAllowedError."""
    for key, depth in _keys(value):
        if depth > table.depth:
            raise NotKnownError(f"it lies more than {table.depth} deep")
        if not key.startswith("$"):
            continue
        if key in table.forbidden_operators:
            raise NotAllowedError(f"{key} is never let through")
        if key not in known:
            raise NotKnownError(f"the operator {key} is not known")


def check_harmless(value: object, table: Table) -> None:
    """Find what is never let through in a value that may have any other keys.

    Raises: NotKnownError, NotAllowedError.
    """
    for key, depth in _keys(value):
        if depth > table.depth:
            raise NotKnownError(f"it lies more than {table.depth} deep")
        if key in table.forbidden_operators:
            raise NotAllowedError(f"{key} is never let through")


def pins_one(found: Mapping[str, Any], collation: object) -> bool:
    """Whether a filter asks for one `_id` by equality.

    `_id` is unique, so such a filter matches one document or none. Null would match what
    has no `_id`, an array its elements, and a collation takes several texts for equal.
    """
    if "_id" not in found:
        return False
    value = found["_id"]
    if value is None or isinstance(value, _NEVER_NAMES):
        return False
    if isinstance(value, Mapping) and (not value or any(key.startswith("$") for key in value)):
        return False
    if _is_plain(collation):
        return True
    return isinstance(value, (int, float, UUID, datetime)) or type(value).__name__ == "ObjectId"


def _is_plain(collation: object) -> bool:
    return collation is None or (
        isinstance(collation, Mapping) and collation.get("locale") == "simple"
    )


def _keys(value: object) -> list[tuple[str, int]]:
    """All keys with their depths, gathered without recursion.

    Code is a key of its own: wherever it stands, a server may run it. What
    follows $literal is a value.
    """
    found: list[tuple[str, int]] = []
    waiting: list[tuple[object, int]] = [(value, 1)]
    while waiting:
        each, depth = waiting.pop()
        if type(each) in _PLAIN:
            continue
        if isinstance(each, Code):
            found.append(("$function", depth))
        elif isinstance(each, Mapping):
            found += ((key, depth) for key in each)
            waiting += ((inner, depth + 1) for key, inner in each.items() if key != "$literal")
        elif isinstance(each, Sequence) and not isinstance(each, (str, bytes)):
            waiting += ((inner, depth + 1) for inner in each)
    return found
