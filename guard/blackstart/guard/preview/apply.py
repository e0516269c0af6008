"""What an update would make of a document, worked out on a copy.

The rules are those of MongoDB's update operators (its manual, "Update
Operators"). What is not worked out here is told, never guessed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from blackstart.guard.rules.changes import is_replacement

NOW = "(the time when it runs)"


class UnforeseenError(Exception):
    """It cannot be worked out what would become of a document; the text says why."""


def applied(document: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """The document after an update by operators or a whole replacement. Raises: UnforeseenError."""
    if is_replacement(change):
        kept = {"_id": document["_id"]} if "_id" in document else {}
        return kept | copy.deepcopy(dict(change))
    after = copy.deepcopy(dict(document))
    for operator, fields in change.items():
        act = _OPERATORS.get(operator)
        if act is None:
            raise UnforeseenError(f"{operator} is not worked out here")
        for path, value in fields.items():
            act(after, path, copy.deepcopy(value))
    return after


def value_at(document: object, path: str) -> tuple[bool, Any]:
    """Whether there is a value at a dotted path, and which."""
    for part in _parts(path):
        if isinstance(document, Mapping) and part in document:
            document = document[part]
        elif isinstance(document, list) and part.isdigit() and int(part) < len(document):
            document = document[int(part)]
        else:
            return False, None
    return True, document


def _parts(path: str) -> list[str]:
    parts = path.split(".")
    if any(part.startswith("$") for part in parts):
        raise UnforeseenError(f"{path} names elements by what the filter found")
    return parts


def _set(document: Any, path: str, value: Any) -> None:
    *way, last = _parts(path)
    for part in way:
        document = _step(document, part, path)
    if isinstance(document, list):
        _extend(document, last, path)
        document[int(last)] = value
    elif isinstance(document, dict):
        document[last] = value
    else:
        raise UnforeseenError(f"{path} cannot be made in a document that has no room for it")


def _step(document: Any, part: str, path: str) -> Any:
    """The inner document or list at `part`, made where there is none."""
    if isinstance(document, list):
        _extend(document, part, path)
        if document[int(part)] is None:
            document[int(part)] = {}
        return document[int(part)]
    if isinstance(document, dict):
        return document.setdefault(part, {})
    raise UnforeseenError(f"{path} cannot be made in a document that has no room for it")


def _extend(found: list[Any], part: str, path: str) -> None:
    if not part.isdigit() or int(part) > len(found) + 1_000:
        raise UnforeseenError(f"{path} cannot be made in a list")
    found.extend([None] * (int(part) + 1 - len(found)))


def _unset(document: Any, path: str, _: Any) -> None:
    *way, last = _parts(path)
    there, parent = value_at(document, ".".join(way)) if way else (True, document)
    if there and isinstance(parent, dict):
        parent.pop(last, None)
    elif there and isinstance(parent, list) and last.isdigit() and int(last) < len(parent):
        parent[int(last)] = None


def _rename(document: Any, path: str, to: Any) -> None:
    there, value = value_at(document, path)
    if there:
        _unset(document, path, None)
        _set(document, str(to), value)


def _calculated(
    combine: Callable[[Any, Any], Any], missing: Callable[[Any], Any]
) -> Callable[[Any, str, Any], None]:
    def act(document: Any, path: str, value: Any) -> None:
        there, found = value_at(document, path)
        try:
            _set(document, path, combine(found, value) if there else missing(value))
        except TypeError as error:
            raise UnforeseenError(f"{path}: {error}") from error

    return act


def _current_date(document: Any, path: str, _: Any) -> None:
    _set(document, path, NOW)


def _nothing(document: Any, path: str, value: Any) -> None:
    """$setOnInsert does nothing to a document that is there."""


def _bit(found: Any, asked: Any) -> Any:
    for name, value in asked.items():
        if name == "and":
            found &= value
        elif name == "or":
            found |= value
        elif name == "xor":
            found ^= value
    return found


def _list_at(document: Any, path: str) -> list[Any]:
    there, found = value_at(document, path)
    if not there:
        found = []
        _set(document, path, found)
    if not isinstance(found, list):
        raise UnforeseenError(f"{path} is not a list")
    return found


def _each(value: Any) -> list[Any]:
    if isinstance(value, Mapping) and "$each" in value:
        return list(value["$each"])
    return [value]


def _push(document: Any, path: str, value: Any) -> None:
    found = _list_at(document, path)
    options = value if isinstance(value, Mapping) and "$each" in value else {}
    place = options.get("$position", len(found))
    found[place:place] = _each(value)
    order = options.get("$sort")
    if order is not None:
        _sort(found, order, path)
    if "$slice" in options:
        kept = options["$slice"]
        found[:] = found[:kept] if kept >= 0 else found[kept:]


def _sort(found: list[Any], order: Any, path: str) -> None:
    if order not in (1, -1):
        raise UnforeseenError(f"{path} is sorted by fields")
    try:
        found.sort(reverse=order == -1)
    except TypeError as error:
        raise UnforeseenError(f"{path} holds values of several kinds") from error


def _add_to_set(document: Any, path: str, value: Any) -> None:
    found = _list_at(document, path)
    for each in _each(value):
        if each not in found:
            found.append(each)


def _pop(document: Any, path: str, value: Any) -> None:
    there, found = value_at(document, path)
    if there and isinstance(found, list) and found:
        found.pop(0 if value == -1 else -1)


def _pull_all(document: Any, path: str, value: Any) -> None:
    there, found = value_at(document, path)
    if there and isinstance(found, list):
        found[:] = [each for each in found if each not in value]


def _pull(document: Any, path: str, value: Any) -> None:
    if any(key.startswith("$") for key in _all_keys(value)):
        raise UnforeseenError(f"{path}: what $pull takes is not worked out here")
    there, found = value_at(document, path)
    if there and isinstance(found, list):
        found[:] = [each for each in found if not _is_like(each, value)]


def _is_like(each: Any, value: Any) -> bool:
    if isinstance(value, Mapping):
        return isinstance(each, Mapping) and all(
            key in each and each[key] == asked for key, asked in value.items()
        )
    return bool(each == value)


def _all_keys(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield key
            yield from _all_keys(inner)


_OPERATORS: dict[str, Callable[[Any, str, Any], None]] = {
    "$set": _set,
    "$setOnInsert": _nothing,
    "$unset": _unset,
    "$rename": _rename,
    "$inc": _calculated(lambda found, by: found + by, lambda by: by),
    "$mul": _calculated(lambda found, by: found * by, lambda by: 0),
    "$min": _calculated(min, lambda value: value),
    "$max": _calculated(max, lambda value: value),
    "$bit": _calculated(_bit, lambda asked: _bit(0, asked)),
    "$currentDate": _current_date,
    "$push": _push,
    "$addToSet": _add_to_set,
    "$pop": _pop,
    "$pull": _pull,
    "$pullAll": _pull_all,
}
