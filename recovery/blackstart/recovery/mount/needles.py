"""Bytes that a document must hold to match a filter: most of a collection is ruled out unread.

A filter on a text, a date or an id can only match a document that has the
value's BSON somewhere, wherever paths and arrays may lead. So what lacks the
bytes is passed over without being decoded; what has them is still asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import bson
from bson import ObjectId

from blackstart.recovery.mount.filters import is_operators

Clause = tuple[bytes, ...]
"""One of these must be there."""

_MAX_ALTERNATIVES = 64
_VALUE_AT = 6


class Needles:
    """What a filter asks a document's bytes to hold."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self.clauses = _of_filter(spec)

    def may_match(self, raw: bytes) -> bool:
        """False only for a document that the filter cannot match."""
        return all(any(each in raw for each in clause) for clause in self.clauses)


def _of_filter(spec: Mapping[str, Any]) -> list[Clause]:
    clauses: list[Clause] = []
    for key, value in spec.items():
        if key == "$and":
            for each in value:
                clauses += _of_filter(each)
        elif key == "$or":
            clauses += _of_alternatives([_of_filter(each) for each in value])
        elif not key.startswith("$"):
            clauses += _of_field(value)
    return clauses


def _of_alternatives(branches: list[list[Clause]]) -> list[Clause]:
    """Each branch gives its first clause; one that gives none may match anything."""
    if not all(branches):
        return []
    together = tuple(each for branch in branches for each in branch[0])
    return [together] if len(together) <= _MAX_ALTERNATIVES else []


def _of_field(spec: Any) -> list[Clause]:
    if not (isinstance(spec, Mapping) and is_operators(spec)):
        return _of_values([spec])
    clauses: list[Clause] = []
    for operator, value in spec.items():
        if operator == "$eq":
            clauses += _of_values([value])
        elif operator == "$in" and value:
            clauses += _of_values(value)
        elif operator == "$all":
            for each in value:
                clauses += _of_field(each)
        elif operator == "$elemMatch":
            clauses += _of_field(value) if is_operators(value) else _of_filter(value)
    return clauses


def _of_values(values: list[Any]) -> list[Clause]:
    needles = [_needle(value) for value in values]
    if None in needles or len(needles) > _MAX_ALTERNATIVES:
        return []
    return [tuple(each for each in needles if each is not None)]


def _needle(value: Any) -> bytes | None:
    """A value's BSON; None for what equals values of another form, as numbers do."""
    if type(value) is str or isinstance(value, (ObjectId, datetime, bytes)):
        return bson.encode({"": value})[_VALUE_AT:-1]
    return None
