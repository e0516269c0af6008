"""Whose cursor is whose: behind the guard all clients share one login of the database.

The server would therefore let one client read on in another's cursor, or
close it. Here a cursor belongs to the login whose command opened it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from blackstart.wire import CommandError

MOST = 100_000


class Cursors:
    """All open cursors that the guard has seen; the one used longest ago is forgotten first."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._owners: OrderedDict[int, str] = OrderedDict()

    def __len__(self) -> int:
        return len(self._owners)

    def note(self, answer: Mapping[str, Any], owner: str) -> None:
        """Remember the cursor that an answer names, if it names one."""
        cursor = answer.get("cursor")
        number = cursor.get("id") if isinstance(cursor, Mapping) else None
        if isinstance(number, int) and number != 0:
            self._owners[int(number)] = owner
            self._owners.move_to_end(int(number))
            if len(self._owners) > self._most:
                self._owners.popitem(last=False)

    def check(self, numbers: Iterable[int], owner: str) -> None:
        """Raises: CommandError for one that another login opened, or nobody here."""
        for number in numbers:
            if self._owners.get(number) != owner:
                raise CommandError("CursorNotFound", f"cursor id {number} not found")
            self._owners.move_to_end(number)

    def forget(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self._owners.pop(number, None)
