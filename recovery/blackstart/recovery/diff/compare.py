"""Compares two sides document by document, in memory that does not grow with them.

Both come in `_id` order and are merged. Of two snapshots the chunks that both
hold are not read: equal digests are equal documents. They stand in the same
place on both sides, with nothing in between, so that the rest merges as well.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Container, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from blackstart.errors import ConflictError, UsageError
from blackstart.recovery.diff.fields import FieldChange, Kind, field_changes
from blackstart.recovery.diff.sides import Item, Progress, Side
from blackstart.recovery.diff.summary import Summary
from blackstart.recovery.exact import extended_json
from blackstart.recovery.snapshots import Gap
from blackstart.recovery.snapshots.documents import id_document, id_of
from blackstart.recovery.snapshots.order import Key

MEMORY_BYTES = 256 * 1024 * 1024
"""How much of a collection with an order of its own is held; it cannot be merged."""

Pair = tuple[Key, bytes | None, bytes | None]


@dataclass(frozen=True)
class Difference:
    """One document, as it is on either side; None where it is not."""

    collection: str
    before: bytes | None
    after: bytes | None

    @property
    def kind(self) -> Kind:
        if self.before is None:
            return Kind.ADDED
        return Kind.REMOVED if self.after is None else Kind.CHANGED

    @property
    def id(self) -> Any:
        """Its `_id`, as extended JSON."""
        raw = self.after if self.before is None else self.before
        return extended_json(id_document(id_of(raw or b""))).get("_id")

    @cached_property
    def fields(self) -> list[FieldChange]:
        """Which fields of a changed document differ."""
        if self.before is None or self.after is None:
            return []
        return field_changes(self.before, self.after)

    def as_row(self) -> dict[str, Any]:
        """As JSON: a changed one with its fields, another one with all of it."""
        row = {"collection": self.collection, "_id": self.id, "change": self.kind.value}
        if self.kind is Kind.CHANGED:
            return row | {"fields": [each.as_row() for each in self.fields]}
        raw = self.after if self.before is None else self.before
        return row | {"document": extended_json(raw or b"")}


class Comparison:
    """Two sides, and which of their collections are compared (all when none is named).

    `summary` grows while `run` goes on, and is true when that has ended.
    Raises: UsageError, when it is made, for a collection that neither side has.
    """

    def __init__(self, before: Side, after: Side, collections: Sequence[str] = ()) -> None:
        self._before = before
        self._after = after
        held = set(before.collections()) | set(after.collections())
        for name in collections:
            if name not in held:
                there = ", ".join(sorted(held)) or "none at all"
                raise UsageError(f"neither side has a collection {name}", hint=f"there is {there}")
        self.collections = sorted(set(collections) or held)
        self.summary = Summary()

    async def run(self, progress: Progress) -> AsyncGenerator[Difference, None]:
        """What differs, collection by collection, in `_id` order.

        Raises: StorageError, DatabaseError; ConflictError when documents that have no order we
        know do not fit in memory.
        """
        for name in self.collections:
            shared = self.shared(name)
            left = _Stream(self._before.documents(name, shared, progress))
            right = _Stream(self._after.documents(name, shared, progress))
            ordered = self._before.is_ordered(name) and self._after.is_ordered(name)
            pairs = _merged(left, right) if ordered else _matched(left, right, name)
            async with aclosing(left.items), aclosing(right.items), aclosing(pairs) as found:
                async for key, before, after in found:
                    if before == after:
                        continue
                    if (before is None and left.is_blind(key)) or (
                        after is None and right.is_blind(key)
                    ):
                        self.summary.uncompared[name] += 1
                        continue
                    difference = Difference(name, before, after)
                    if difference.kind is not Kind.CHANGED or difference.fields:
                        self.summary.add(name, difference.kind, difference.fields)
                        yield difference
            if left.lost or right.lost:
                self.summary.uncompared[name] += left.lost + right.lost

    def shared(self, collection: str) -> Container[str]:
        """The digests of the chunks that need not be read."""
        before, after = (
            {chunk.digest for chunk in side.chunk_list(collection)}
            for side in (self._before, self._after)
        )
        return before & after


class _Stream:
    """One side of a merge: its next document, and where it could not be read."""

    def __init__(self, items: AsyncIterator[Item]) -> None:
        self.items: Any = items
        self.lost = 0
        self._gaps: deque[Gap] = deque()

    async def next(self) -> tuple[Key, bytes] | None:
        """None at the end."""
        async for item in self.items:
            if not isinstance(item, Gap):
                return item  # type: ignore[no-any-return]
            self._gaps.append(item)
            self.lost += item.chunk.count
        return None

    def is_blind(self, key: Key) -> bool:
        """Whether a document with this key may be here and could not be read."""
        return any(gap.covers(key) for gap in self._gaps)


async def _merged(left: _Stream, right: _Stream) -> AsyncGenerator[Pair, None]:
    one, other = await left.next(), await right.next()
    while one is not None or other is not None:
        if other is None or (one is not None and one[0] < other[0]):
            assert one is not None
            yield one[0], one[1], None
            one = await left.next()
        elif one is None or other[0] < one[0]:
            yield other[0], None, other[1]
            other = await right.next()
        else:
            yield one[0], one[1], other[1]
            one, other = await left.next(), await right.next()


async def _matched(left: _Stream, right: _Stream, collection: str) -> AsyncGenerator[Pair, None]:
    """For a collection with a collation: its `_id`s are in an order that only the server knows."""
    rest: dict[Key, bytes] = {}
    held = 0
    while (item := await left.next()) is not None:
        rest[item[0]] = item[1]
        held += len(item[1])
        if held > MEMORY_BYTES:
            raise ConflictError(
                f"collection {collection} has a collation, and more than "
                f"{MEMORY_BYTES >> 20} MiB of it would have to be held in memory",
                hint="compare the others with --collection",
            )
    while (item := await right.next()) is not None:
        yield item[0], rest.pop(item[0], None), item[1]
    for key, document in rest.items():
        yield key, document, None
