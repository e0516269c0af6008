"""Which fields of a document a client gets: MongoDB's rules, without expressions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bson import Decimal128

from blackstart.recovery.mount.filters import Filter
from blackstart.wire import CommandError

Operation = Callable[[Any], Any]
"""Makes a field's value another; `_GONE` leaves the field out."""

_GONE = object()


class Projection:
    """One projection, asked of many documents.

    Raises: CommandError, when it is made, for one that MongoDB refuses or that computes.
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._tree: dict[str, Any] = {}
        self._operations: dict[str, Operation] = {}
        plain = dict(_flat(spec))
        kinds = set()
        elements = False
        for path, value in plain.items():
            if isinstance(value, Mapping):
                self._operations[path] = _operation(path, value)
                elements |= "$elemMatch" in value
            elif path != "_id":
                kinds.add(_is_wanted(path, value))
                _grow(self._tree, path)
        if len(kinds) > 1:
            raise CommandError("BadValue", "a projection cannot both include and exclude fields")
        self._with_id = _is_wanted("_id", plain["_id"]) if "_id" in plain else None
        self._includes = True in kinds or (not kinds and (elements or self._with_id is True))
        self._place_id()

    def _place_id(self) -> None:
        """`_id` comes along unless it is refused, whatever the others say."""
        if self._includes:
            if self._with_id is not False:
                self._tree["_id"] = True
            for path in self._operations:
                _grow(self._tree, path)
            return
        if self._with_id is False:
            self._tree["_id"] = True
        for path in self._operations:
            _grow_parents(self._tree, path.split(".")[:-1])

    def __call__(self, document: Mapping[str, Any]) -> dict[str, Any]:
        cut = _include if self._includes else _exclude
        projected: dict[str, Any] = cut(document, self._tree)
        for path, operation in self._operations.items():
            _apply(projected, path.split("."), operation)
        return projected


def _flat(spec: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """`{a: {b: 1}}` is `{"a.b": 1}` (MongoDB 4.4)."""
    found: list[tuple[str, Any]] = []
    for key, value in spec.items():
        if isinstance(value, Mapping) and value and not next(iter(value)).startswith("$"):
            found += _flat(value, f"{prefix}{key}.")
        else:
            found.append((prefix + key, value))
    return found


def _is_wanted(path: str, value: Any) -> bool:
    if path.startswith("$") or path.endswith(".$") or not all(path.split(".")):
        raise CommandError("NotImplemented", f"a projection of {path!r} is not made on a snapshot")
    if isinstance(value, (bool, int, float)):
        return bool(value)
    if isinstance(value, Decimal128):
        return bool(value.to_decimal())
    raise CommandError("NotImplemented", f"a projection computes {path!r}, which is not done here")


def _grow(tree: Any, path: str) -> None:
    *parents, leaf = path.split(".")
    for name in parents:
        tree = tree.setdefault(name, {})
        if tree is True:
            raise CommandError("BadValue", f"Path collision at {path}")
    if isinstance(tree.get(leaf), dict):
        raise CommandError("BadValue", f"Path collision at {path}")
    tree[leaf] = True


def _grow_parents(tree: Any, names: list[str]) -> None:
    """What an operation changes within is copied on the way to it."""
    for name in names:
        tree = tree.setdefault(name, {})
        if tree is True:
            raise CommandError("BadValue", f"Path collision at {name}")


def _include(document: Mapping[str, Any], tree: Mapping[str, Any]) -> dict[str, Any]:
    kept = {}
    for name, value in document.items():
        below = tree.get(name)
        cut = value if below is True else _GONE if below is None else _include_value(value, below)
        if cut is not _GONE:
            kept[name] = cut
    return kept


def _include_value(value: Any, tree: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        return _include(value, tree)
    if isinstance(value, list):
        cut = (_include_value(each, tree) for each in value)
        return [each for each in cut if each is not _GONE]
    return _GONE


def _exclude(document: Mapping[str, Any], tree: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _exclude_value(value, tree[name]) if name in tree else value
        for name, value in document.items()
        if tree.get(name) is not True
    }


def _exclude_value(value: Any, tree: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        return _exclude(value, tree)
    if isinstance(value, list):
        return [_exclude_value(each, tree) for each in value]
    return value


def _apply(value: Any, path: list[str], operation: Operation) -> None:
    """Change what a path leads to in what was already copied."""
    if isinstance(value, list):
        for each in value:
            _apply(each, path, operation)
    elif isinstance(value, dict) and path[0] in value:
        if len(path) > 1:
            _apply(value[path[0]], path[1:], operation)
            return
        changed = operation(value.pop(path[0]))
        if changed is not _GONE:
            value[path[0]] = changed


def _operation(path: str, value: Mapping[str, Any]) -> Operation:
    if list(value) == ["$slice"]:
        return _slice(value["$slice"])
    if list(value) == ["$elemMatch"] and "." not in path:
        return _first_match(value["$elemMatch"])
    name = next(iter(value), "{}")
    raise CommandError("NotImplemented", f"{name} in a projection is not done on a snapshot")


def _slice(argument: Any) -> Operation:
    """The first elements, the last when negative, or `[skip, count]`."""
    pair = argument if isinstance(argument, list) else [None, argument]
    if len(pair) != 2 or not _is_whole(pair[1]) or not (pair[0] is None or _is_whole(pair[0])):
        raise CommandError("BadValue", "$slice takes a whole number, or two of them")
    skip, count = pair
    if skip is not None and count <= 0:
        raise CommandError("BadValue", "$slice takes a positive count after a skip")

    def cut(value: Any) -> Any:
        if not isinstance(value, list):
            return value
        if skip is None:
            return value[:count] if count >= 0 else value[count:]
        start = skip if skip >= 0 else max(len(value) + skip, 0)
        return value[start : start + count]

    return cut


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _first_match(spec: Any) -> Operation:
    """The first element that matches, alone in its array."""
    matching = Filter({"v": {"$elemMatch": spec}})

    def cut(value: Any) -> Any:
        if isinstance(value, list):
            for each in value:
                if matching.matches({"v": [each]}):
                    return [each]
        return _GONE

    return cut
