"""The few expressions that a pipeline on a snapshot computes: fields, constants, documents of both.

All others are refused by name: whoever needs them restores the snapshot into
a MongoDB.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from blackstart.wire import CommandError

Expression = Callable[[Mapping[str, Any]], Any]
"""Takes a document; returns a value, or `MISSING`."""

MISSING = object()


def expression(spec: Any) -> Expression:
    """Raises: CommandError for one that is not computed here."""
    if isinstance(spec, str) and spec.startswith("$$"):
        if spec == "$$ROOT":
            return lambda document: document
        raise CommandError("NotImplemented", f"the variable {spec} is not known on a snapshot")
    if isinstance(spec, str) and spec.startswith("$"):
        names = spec[1:].split(".")
        if not all(names):
            raise CommandError("BadValue", f"{spec!r} is no path to a field")
        return lambda document: _at(document, names)
    if isinstance(spec, Mapping):
        return _of_document(spec)
    if isinstance(spec, list):
        each = [expression(one) for one in spec]
        return lambda document: [_or_null(one(document)) for one in each]
    return lambda document: spec


def _of_document(spec: Mapping[str, Any]) -> Expression:
    if list(spec) == ["$literal"]:
        constant = spec["$literal"]
        return lambda document: constant
    for name in spec:
        if name.startswith("$"):
            raise CommandError("NotImplemented", f"{name} is not computed on a snapshot")
    each = {name: expression(value) for name, value in spec.items()}

    def compute(document: Mapping[str, Any]) -> dict[str, Any]:
        values = ((name, one(document)) for name, one in each.items())
        return {name: value for name, value in values if value is not MISSING}

    return compute


def _at(value: Any, names: list[str]) -> Any:
    """An array gives the array of what its elements have; an expression takes no index."""
    for number, name in enumerate(names):
        if isinstance(value, list):
            found = [_at(each, names[number:]) for each in value]
            return [each for each in found if each is not MISSING]
        if not isinstance(value, Mapping) or name not in value:
            return MISSING
        value = value[name]
    return value


def _or_null(value: Any) -> Any:
    return None if value is MISSING else value
