"""Which snapshots stay: the newest, and one for each of the last hours, days and weeks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from datetime import datetime

from blackstart.errors import UsageError
from blackstart.recovery.snapshots.manifest import Snapshot

MOST = 100_000


@dataclass(frozen=True)
class Keep:
    """How many stay of each kind; the newest always does, and the newest that is not empty.

    An hour, day or ISO week (in UTC) in which no snapshot was taken counts
    for nothing: 7 daily are those of the last seven days that have one.
    """

    newest: int = 4
    hourly: int = 24
    daily: int = 7
    weekly: int = 8

    @classmethod
    def parse(cls, text: str) -> Keep:
        """From `hourly=24,daily=7`; what is not named is none. Raises: UsageError."""
        names = [each.name for each in fields(cls)]
        given = dict.fromkeys(names, 0)
        for part in filter(None, (each.strip() for each in text.split(","))):
            name, _, number = part.partition("=")
            if name not in names or not number.isdecimal() or int(number) > MOST:
                hint = f"write it like {cls()}, with some of {', '.join(names)}"
                raise UsageError(f"cannot keep {part!r}", hint=hint)
            given[name] = int(number)
        return cls(**given)

    def __str__(self) -> str:
        return ",".join(f"{each.name}={getattr(self, each.name)}" for each in fields(self))


_PERIODS: dict[str, Callable[[datetime], tuple[int, ...]]] = {
    "hourly": lambda at: (*at.timetuple()[:3], at.hour),
    "daily": lambda at: at.timetuple()[:3],
    "weekly": lambda at: at.isocalendar()[:2],
}


def why_kept(snapshots: Iterable[Snapshot], keep: Keep) -> dict[str, list[str]]:
    """The ids of those that stay, and for each the reasons.

    The last snapshot of an hour, day or week stands for it, as with restic's
    `forget`. Each database has its own, and so have the empty snapshots of
    each: a weekend of them must not push out those that are worth something.
    """
    reasons: dict[str, list[str]] = {}
    alike: dict[tuple[str, bool], list[Snapshot]] = {}
    for snapshot in sorted(snapshots, key=lambda each: (each.taken_at, each.id), reverse=True):
        alike.setdefault((snapshot.database, snapshot.is_empty), []).append(snapshot)
    for newest_first in alike.values():
        for snapshot, reason in _of_those_alike(newest_first, keep):
            reasons.setdefault(snapshot.id, []).append(reason)
    return reasons


def _of_those_alike(newest_first: list[Snapshot], keep: Keep) -> Iterable[tuple[Snapshot, str]]:
    for snapshot in newest_first[: max(1, keep.newest)]:
        yield snapshot, "newest"
    for name, period in _PERIODS.items():
        last_of: dict[tuple[int, ...], Snapshot] = {}
        for snapshot in newest_first:
            last_of.setdefault(period(snapshot.taken_at), snapshot)
        for snapshot in list(last_of.values())[: getattr(keep, name)]:
            yield snapshot, name
