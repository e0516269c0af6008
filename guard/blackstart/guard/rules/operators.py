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
_DBREF = frozenset({"$ref", "$id", "$db"})
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
    found = _Keys(value)
    for key in found.quoted:
        # A value to MongoDB, but not to whoever takes `$literal` for any other field.
        if key in table.forbidden_operators or key in table.write_stages:
            raise NotAllowedError(f"{key} is never let through, not even as a value")
    for key, depth in found.keys:
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
    found = _Keys(value)
    for key, depth in found.keys:
        if depth > table.depth:
            raise NotKnownError(f"it lies more than {table.depth} deep")
        if key in table.forbidden_operators:
            raise NotAllowedError(f"{key} is never let through")
    if not table.forbidden_operators.isdisjoint(found.quoted):
        raise NotAllowedError("a value holds what is never let through")


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


class _Keys:
    """All keys with their depths, gathered without recursion; `quoted` lie below a $literal.

    Code is a key of its own: wherever it stands, a server may run it. So are
    the fields of a DBRef beyond its three, which the decoder takes out of sight.
    """

    def __init__(self, value: object) -> None:
        self.keys: list[tuple[str, int]] = []
        self.quoted: list[str] = []
        literals = self._gather(value, 1)
        while literals:
            inner = _Keys(literals.pop())
            self.quoted += (key for key, _ in inner.keys)
            self.quoted += inner.quoted

    def _gather(self, value: object, depth: int) -> list[object]:
        found, literals = self.keys, list[object]()
        waiting: list[tuple[object, int]] = [(value, depth)]
        while waiting:
            each, depth = waiting.pop()
            if type(each) in _PLAIN:
                continue
            if isinstance(each, Code):
                found.append(("$function", depth))
            elif isinstance(each, Mapping):
                found += ((key, depth) for key in each)
                if "$literal" in each:
                    literals.append(each["$literal"])
                    each = {key: inner for key, inner in each.items() if key != "$literal"}
                waiting += ((inner, depth + 1) for inner in each.values())
            elif isinstance(each, DBRef):
                waiting += ((inner, depth + 1) for inner in each.as_doc().values())
                found += ((key, depth) for key in each.as_doc() if key not in _DBREF)
            elif isinstance(each, Sequence) and not isinstance(each, (str, bytes)):
                waiting += ((inner, depth + 1) for inner in each)
        return literals
