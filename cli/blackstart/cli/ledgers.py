"""What commands about a ledger share: where it is, its newest records, and its problems."""

from __future__ import annotations

import heapq
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from blackstart.store.ledger import LogProblem

R = TypeVar("R")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@dataclass(frozen=True)
class Words:
    """What a ledger and its records are called, and what verifies it."""

    title: str
    record: str
    verify: str

    def counted(self, count: int) -> str:
        return f"{count:,} {self.record}{'' if count == 1 else 's'}"


def hint_at(problems: list[LogProblem], words: Words) -> None:
    """Say that a ledger is not whole, on stderr."""
    if problems:
        count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
        print(f"the {words.title} has {count}: see `{words.verify}`", file=sys.stderr)


async def newest(
    records: AsyncIterator[R], limit: int, age: Callable[[R], Any]
) -> tuple[list[R], int]:
    """The newest records, the newest first, and how many older ones there are."""
    kept: list[tuple[Any, int, R]] = []
    count = 0
    async for record in records:
        count += 1
        entry = (age(record), count, record)
        if len(kept) < limit:
            heapq.heappush(kept, entry)
        else:
            heapq.heappushpop(kept, entry)
    found = [record for _, _, record in sorted(kept, key=lambda each: each[:2], reverse=True)]
    return found, count - len(found)


def read_since(text: str) -> datetime:
    """A moment, or how long ago: `2017-02-02`, `2017-02-02T17:20Z`, `90m`, `7d`.

    Raises: UsageError.
    """
    from datetime import UTC

    from blackstart.clock import WallClock
    from blackstart.errors import UsageError

    number, unit = text[:-1], text[-1:]
    if unit in UNITS_S and number.isascii() and number.isdecimal():
        try:
            return WallClock().now() - timedelta(seconds=int(number) * UNITS_S[unit])
        except OverflowError as error:
            raise UsageError(f"{text} ago is before all time") from error
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        hint = "write 2017-02-02, 2017-02-02T17:20Z, or how long ago: 90m, 12h, 7d"
        raise UsageError(f"not a time: {text!r}", hint=hint) from error
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at
