"""Sorting in bounded memory: the first few by a heap, or all as far as MongoDB's limit goes."""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator, Mapping
from functools import total_ordering
from typing import Any

from blackstart.recovery.mount.filters import values_at
from blackstart.recovery.mount.source import Found
from blackstart.recovery.snapshots.order import Key, id_key
from blackstart.wire import CommandError

MAX_SORT_BYTES = 100 * 1024 * 1024
"""MongoDB's `internalQueryMaxBlockingSortMemoryUsageBytes`."""
_MAX_KEYS = 32
_EMPTY_ARRAY: Key = (0, 1)
"""MongoDB sorts an empty array before null: between MinKey (0,) and null (1,)."""


@total_ordering
class _Descending:
    """A key that sorts the other way round."""

    __slots__ = ("key",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, key: Any) -> None:
        self.key = key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Descending) and bool(self.key == other.key)

    def __lt__(self, other: _Descending) -> bool:
        return bool(other.key < self.key)


class Sort:
    """One sort pattern. Raises: CommandError, when it is made, for one that is not taken."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        if len(spec) > _MAX_KEYS:
            raise CommandError("BadValue", f"too many fields in a sort: {len(spec)}")
        self._fields = [(path, _direction(path, value)) for path, value in spec.items()]

    def needs_no_work(self, *, in_order_of_ids: bool) -> bool:
        """Whether a scan yields this order by itself."""
        return not self._fields or (in_order_of_ids and self._fields[0] == ("_id", 1))

    def key(self, document: Mapping[str, Any]) -> tuple[Any, ...]:
        """Of an array the smallest element counts upwards, the largest downwards."""
        return tuple(
            _smallest(document, path) if direction > 0 else _Descending(_largest(document, path))
            for path, direction in self._fields
        )

    async def all(
        self, documents: AsyncIterator[Found], *, max_bytes: int = MAX_SORT_BYTES
    ) -> list[Found]:
        """Every document in order; what is equal stays as it came. Raises: CommandError."""
        held: list[tuple[tuple[Any, ...], int, Found]] = []
        held_bytes = 0
        async for found in documents:
            held.append((self.key(found.document), len(held), found))
            held_bytes += found.size
            _refuse_beyond(held_bytes, max_bytes)
        held.sort(key=lambda each: each[:2])
        return [found for _, _, found in held]

    async def first(
        self, documents: AsyncIterator[Found], count: int, *, max_bytes: int = MAX_SORT_BYTES
    ) -> list[Found]:
        """The first `count` in order, holding no more than those. Raises: CommandError."""
        # A heap has its smallest in front, and what must go is the last in order.
        heap: list[tuple[_Descending, Found]] = []
        held_bytes = number = 0
        async for found in documents:
            item = (_Descending((self.key(found.document), number)), found)
            number += 1
            held_bytes += found.size
            if len(heap) < count:
                heapq.heappush(heap, item)
            else:
                held_bytes -= heapq.heappushpop(heap, item)[1].size
            _refuse_beyond(held_bytes, max_bytes)
        return [found for _, found in sorted(heap, key=lambda each: each[0], reverse=True)]


def _direction(path: str, value: Any) -> int:
    if not path or path.startswith("$"):
        raise CommandError("BadValue", f"a sort by {path!r}")
    if isinstance(value, bool) or value not in (1, -1):
        raise CommandError("BadValue", f"$sort key ordering must be 1 or -1, not {value!r}")
    return int(value)


def _smallest(document: Mapping[str, Any], path: str) -> Key:
    values = values_at(document, path, with_missing=True)
    return min(map(id_key, values)) if values else _EMPTY_ARRAY


def _largest(document: Mapping[str, Any], path: str) -> Key:
    values = values_at(document, path, with_missing=True)
    return max(map(id_key, values)) if values else _EMPTY_ARRAY


def _refuse_beyond(held_bytes: int, max_bytes: int) -> None:
    if held_bytes > max_bytes:
        raise CommandError(
            "QueryExceededMemoryLimitNoDiskUseAllowed",
            f"Sort exceeded memory limit of {max_bytes} bytes: "
            "a snapshot is sorted in memory alone; add a limit or a narrower filter",
        )
