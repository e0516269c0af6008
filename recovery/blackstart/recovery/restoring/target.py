"""What a document will be: the snapshot's, or what it is now with some of the snapshot's fields."""

from __future__ import annotations

from collections.abc import Sequence

from blackstart.errors import UsageError
from blackstart.recovery.diff.elements import DOCUMENT, Element, Fields, document_of, elements


def parse_fields(texts: Sequence[str]) -> list[tuple[str, ...]]:
    """Dotted paths, of `a,b.c` and of several such. Raises: UsageError."""
    paths = [tuple(each.strip().split(".")) for text in texts for each in text.split(",")]
    for path in paths:
        if not all(path):
            raise UsageError(f"--fields: {'.'.join(path)!r} is no field")
        if path[0] == "_id":
            raise UsageError("--fields: an _id never changes")
    return paths


def target(now: bytes, kept: bytes, fields: Sequence[tuple[str, ...]]) -> bytes:
    """The document as it will be. Raises: ValueError when a path leads through what is no document.

    Without `fields` it is the snapshot's.
    """
    if not fields:
        return kept
    made = elements(now)
    for path in fields:
        made = _brought_back(made, elements(kept), path)
    return document_of(made)


def _brought_back(now: Fields, kept: Fields, path: tuple[str, ...]) -> Fields:
    name, *rest = path
    made = dict(now)
    if not rest:
        value = kept.get(name)
    elif name not in now and not _holds(kept, path):
        return made
    else:
        inner = _brought_back(_inside(now, name), _inside(kept, name), tuple(rest))
        value = Element(DOCUMENT, document_of(inner))
    if value is None:
        made.pop(name, None)
    else:
        made[name] = value
    if set(made) == set(kept):
        # The same fields as then: in the same order as well.
        return {each: made[each] for each in kept}
    return made


def _holds(fields: Fields, path: tuple[str, ...]) -> bool:
    name, *rest = path
    return name in fields and (not rest or _holds(_inside(fields, name), tuple(rest)))


def _inside(fields: Fields, name: str) -> Fields:
    value = fields.get(name)
    if value is None:
        return {}
    if not value.is_document:
        raise ValueError(f"the field {name} is no document")
    return elements(value.data)
