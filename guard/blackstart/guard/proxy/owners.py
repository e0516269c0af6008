"""Whose cursor is whose: behind the guard all clients share one login of the database.

The server would therefore let one client read on in another's cursor, or
close it. Here a cursor belongs to the login whose command opened it.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bson import Int64

from blackstart.wire import CommandError

MOST_EACH = 10_000


class NothingKilledError(CommandError):
    """Cursors to be closed are not all the asking login's own.

    MongoDB tells so in an answer that is no error, and so does this one.
    """

    def __init__(self, not_found: Sequence[int], alive: Sequence[int]) -> None:
        super().__init__("CursorNotFound", f"cursor id {not_found[0]} not found")
        self._not_found = [Int64(number) for number in not_found]
        self._alive = [Int64(number) for number in alive]

    def document(self) -> dict[str, Any]:
        return {
            "cursorsKilled": [],
            "cursorsNotFound": self._not_found,
            "cursorsAlive": self._alive,
            "cursorsUnknown": [],
            "ok": 1.0,
        }


class Cursors:
    """All open cursors that the guard has seen.

    Each login has room of its own, so that nobody can push out another's: of its
    cursors the one used longest ago is forgotten first.
    """

    def __init__(self, most_each: int = MOST_EACH) -> None:
        self._most_each = most_each
        self._owners: dict[int, str] = {}
        self._of_login: defaultdict[str, OrderedDict[int, None]] = defaultdict(OrderedDict)

    def __len__(self) -> int:
        return len(self._owners)

    def note(self, answer: Mapping[str, Any], owner: str) -> None:
        """Remember the cursor that an answer names, if it names one."""
        cursor = answer.get("cursor")
        number = cursor.get("id") if isinstance(cursor, Mapping) else None
        if not isinstance(number, int) or number == 0:
            return
        self.forget([number])
        self._owners[int(number)] = owner
        own = self._of_login[owner]
        own[int(number)] = None
        if len(own) > self._most_each:
            self.forget([next(iter(own))])

    def check_killed(self, numbers: Sequence[int], owner: str) -> None:
        """Raises: NothingKilledError, as `check` does for a cursor that is read on in."""
        others = [number for number in numbers if self._owners.get(number) != owner]
        if others:
            raise NothingKilledError(others, [each for each in numbers if each not in others])

    def check(self, numbers: Iterable[int], owner: str) -> None:
        """Raises: CommandError for one that another login opened, or nobody here."""
        for number in numbers:
            if self._owners.get(number) != owner:
                raise CommandError("CursorNotFound", f"cursor id {number} not found")
            self._of_login[owner].move_to_end(number)

    def forget(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            owner = self._owners.pop(number, None)
            if owner is not None:
                del self._of_login[owner][number]
