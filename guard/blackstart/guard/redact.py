"""Commands as people and the audit trail may see them: plain values, secrets left out, bounded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bson import json_util

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
_LEFT_OUT = SESSION_FIELDS | {"$db", "$readPreference"}


class Redaction:
    """Leaves out the values of some fields.

    A field is a name, which is found wherever it stands, or a dotted path such as
    `metadata.owner`, found in a sub-document and in a dotted key alike.
    """

    def __init__(self, fields: Iterable[str] = ()) -> None:
        self._fields = [tuple(field.split(".")) for field in (*SECRETS, *fields) if field]

    def __call__(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """A command as JSON has it, without what names its session."""
        kept = {key: value for key, value in document.items() if key not in _LEFT_OUT}
        shown: dict[str, Any] = self._shown(kept, ())
        text = json.dumps(shown)
        if len(text) <= WHOLE_CHARACTERS:
            return shown
        name = next(iter(kept))
        return {name: shown[name], "cut": text[:WHOLE_CHARACTERS]}

    def _shown(self, value: Any, path: tuple[str, ...]) -> Any:
        if len(path) > DEPTH:
            return "..."
        if isinstance(value, Mapping):
            return self._document(value, path)
        if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
            items = [self._shown(each, (*path, "[]")) for each in value[:LIST_ITEMS]]
            more = len(value) - LIST_ITEMS
            return [*items, f"... and {more} more"] if more > 0 else items
        return _plain(value)

    def _document(self, document: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
        shown = {}
        for key, value in list(document.items())[:FIELDS]:
            inner = (*path, *str(key).split("."))
            shown[str(key)] = REDACTED if self._hides(inner) else self._shown(value, inner)
        if len(document) > FIELDS:
            shown["..."] = f"and {len(document) - FIELDS} more"
        return shown

    def _hides(self, path: tuple[str, ...]) -> bool:
        """Whether a path ends in a redacted one; operators and places in lists do not count."""
        names = tuple(part for part in path if not part.startswith(("$", "[")))
        names = tuple(name for name in names if not name.isdigit())
        if not names or path[-1].startswith("$"):
            return False
        return any(names[-len(field) :] == field for field in self._fields)


def _plain(value: Any) -> Any:
    """What JSON has as it is; all else as MongoDB's extended JSON writes it."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str):
        return _cut(str(value))
    if isinstance(value, bytes):
        return f"({len(value)} bytes)"
    try:
        return json.loads(json_util.dumps(value, json_options=_JSON), parse_constant=str)
    except (TypeError, ValueError, OverflowError):
        return f"({type(value).__name__})"


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_CHARACTERS else f"{text[:TEXT_CHARACTERS]} ..."
