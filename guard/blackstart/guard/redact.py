"""Commands as people and the audit trail may see them: plain values, secrets left out, bounded."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from math import isfinite
from typing import Any

from bson import Code, DBRef, ObjectId, json_util

from blackstart.guard.rules.command import SESSION_FIELDS

REDACTED = "(redacted)"
SECRETS = ("pwd", "password", "payload", "secret", "token")
"""Fields that are left out wherever they stand, whatever else is."""
TEXT_CHARACTERS = 1_000
LIST_ITEMS = 20
FIELDS = 100
DEPTH = 30
WHOLE_CHARACTERS = 16_000
_JSON = json_util.RELAXED_JSON_OPTIONS
_LEAVES = frozenset({str, int, float, bool, bytes, type(None), ObjectId})
"""The most frequent values, told apart without asking what they descend from."""
_CUT = re.compile(r"^\.\.\. and \d+ more$| ?\.\.\.$|^\(.*\)$")
"""What stands where something was cut, or could not be shown; a value that looks so is one, too."""
_LEFT_OUT = SESSION_FIELDS | {"$db", "$readPreference"}


class Redaction:
    """Leaves out the values of some fields.

    A field is a name, which is found wherever it stands, or a dotted path such as
    `metadata.owner`, found in a sub-document and in a dotted key alike.
    """

    def __init__(self, fields: Iterable[str] = ()) -> None:
        self._by_last: dict[str, list[tuple[str, ...]]] = {}
        for field in filter(None, (*SECRETS, *fields)):
            parts = tuple(field.split("."))
            self._by_last.setdefault(parts[-1], []).append(parts)

    def __call__(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """A command as JSON has it, without what names its session."""
        kept = {key: value for key, value in document.items() if key not in _LEFT_OUT}
        walk = _Walk(self._by_last)
        shown: dict[str, Any] = walk.document(kept, ())
        if walk.characters <= WHOLE_CHARACTERS:
            return shown
        name, first = next(iter(shown.items()))
        first = first if isinstance(first, str) else _cut(json.dumps(first))
        return {name: first, "cut": json.dumps(shown)[:WHOLE_CHARACTERS]}

    def value(self, value: Any, path: str = "") -> Any:
        """A value that stands at a path of a document, as JSON has it."""
        return _Walk(self._by_last).at(value, path)

    def both(
        self, before: Mapping[str, Any], after: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """A document before and after a change.

        A value that is left out before is left out after, too, wherever the change puts it.
        """
        first = _Walk(self._by_last)
        shown = {key: first.at(value, key) for key, value in before.items()}
        second = _Following(self._by_last, first.hidden)
        return shown, {key: second.at(value, key) for key, value in after.items()}

    def path(self, path: str) -> str:
        """A path without the names below a field that is left out: they are part of its value."""
        parts = path.split(".")
        count = _Walk(self._by_last).hidden_after(tuple(parts))
        if count is None or count == len(parts):
            return path
        return ".".join([*parts[:count], REDACTED])


def is_whole(shown: object) -> bool:
    """Whether nothing was left out of, or cut from, a part of a command that people see."""
    if isinstance(shown, Mapping):
        cut = "..." in shown or any(_CUT.search(name) for name in shown)
        return not cut and all(is_whole(value) for value in shown.values())
    if isinstance(shown, Sequence) and not isinstance(shown, str):
        return all(is_whole(value) for value in shown)
    return not (isinstance(shown, str) and (shown == REDACTED or _CUT.search(shown)))


class _Walk:
    """Goes through one command, and counts about how many characters it comes to."""

    def __init__(self, by_last: Mapping[str, list[tuple[str, ...]]]) -> None:
        self._by_last = by_last
        self.characters = 0
        self.hidden: list[Any] = []

    def at(self, value: Any, path: str) -> Any:
        """A value at a dotted path; below nothing when the path is empty."""
        parts = tuple(path.split(".")) if path else ()
        return (
            self._hidden(value)
            if self.hidden_after(parts) is not None
            else self._shown(value, parts)
        )

    def document(self, document: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
        shown = {}
        for key, value in islice(document.items(), FIELDS):
            name = str(key)
            if type(value) in _LEAVES and self._is_ordinary(name):
                name = self._named(name)
                shown[name] = self._leaf(value)
                continue
            parts = name.split(".") if "." in name else [name]
            inner = (*path, *parts)
            name = self._named(name)
            hides = self.hidden_after(inner, len(path)) is not None
            shown[name] = self._hidden(value) if hides else self._shown(value, inner)
        if len(document) > FIELDS:
            shown["..."] = f"and {len(document) - FIELDS} more"
        return shown

    def _hidden(self, value: Any) -> str:
        self.hidden.append(value)
        return REDACTED

    def _named(self, name: str) -> str:
        name = _cut(name)
        self.characters += len(name) + 8
        return name

    def _shown(self, value: Any, path: tuple[str, ...]) -> Any:
        if len(path) > DEPTH:
            return "..."
        if type(value) in _LEAVES:
            return self._leaf(value)
        if isinstance(value, Mapping):
            return self.document(value, path)
        if isinstance(value, DBRef):
            return self.document(value.as_doc(), path)
        if isinstance(value, Code) and value.scope is not None:
            return {"$code": self._leaf(str(value)), "$scope": self.document(value.scope, path)}
        if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
            items = [self._shown(each, path) for each in value[:LIST_ITEMS]]
            more = len(value) - LIST_ITEMS
            return [*items, f"... and {more} more"] if more > 0 else items
        return self._leaf(value)

    def _leaf(self, value: Any) -> Any:
        plain = _plain(value)
        self.characters += len(str(plain)) if isinstance(plain, (str, dict)) else 16
        return plain

    def _is_ordinary(self, name: str) -> bool:
        """Whether no field that is left out can end in this name, wherever it stands."""
        return not (name in self._by_last or "." in name or name.isdigit())

    def hidden_after(self, path: tuple[str, ...], known: int = 0) -> int | None:
        """How many parts of a path lead to a field that is left out; `known` of them do not."""
        counts = range(known + 1, len(path) + 1)
        return next((count for count in counts if self._hides(path[:count])), None)

    def _hides(self, path: tuple[str, ...]) -> bool:
        """Whether a path ends in a redacted one; operators and places in lists do not count."""
        fields = self._by_last.get(_last_name(path))
        if fields is None or path[-1].startswith("$"):
            return False
        names = _names(path)
        return any(names[-len(field) :] == field for field in fields)


class _Following(_Walk):
    """Leaves out as well what was left out elsewhere: a change may have moved it."""

    def __init__(self, by_last: Mapping[str, list[tuple[str, ...]]], hidden: Iterable[Any]) -> None:
        super().__init__(by_last)
        self._moved = [leaf for value in hidden for leaf in _leaves(value)]

    def _leaf(self, value: Any) -> Any:
        return REDACTED if self._is_moved(value) else super()._leaf(value)

    def _is_moved(self, value: Any) -> bool:
        if isinstance(value, str):
            texts = (each for each in self._moved if isinstance(each, str))
            return any(each in value for each in texts)
        return any(type(each) is type(value) and each == value for each in self._moved)


def _leaves(value: Any) -> Iterator[Any]:
    """The values in a value that tell something: neither flags nor nothing."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _leaves(inner)
    elif not (value is None or value == "" or isinstance(value, bool)):
        yield value


def _names(path: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(part for part in path if not (part.startswith("$") or part.isdigit()))


def _last_name(path: tuple[str, ...]) -> str:
    last = path[-1]
    return (_names(path) or ("",))[-1] if last.isdigit() else last


def _plain(value: Any) -> Any:
    """What JSON has as it is; all else as MongoDB's extended JSON writes it."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str):
        return _cut(str(value))
    if isinstance(value, float) and isfinite(value):
        return float(value)
    if isinstance(value, ObjectId):
        return {"$oid": str(value)}
    if isinstance(value, bytes):
        return f"({len(value)} bytes)"
    try:
        text = json_util.dumps(value, json_options=_JSON)
        if len(text) > TEXT_CHARACTERS:
            return _cut(text)
        return json.loads(text, parse_constant=str)
    except (TypeError, ValueError, OverflowError):
        return f"({type(value).__name__})"


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_CHARACTERS else f"{text[:TEXT_CHARACTERS]} ..."
