"""`$group`: documents gathered by a key, and what is kept of each group."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import bson
from bson import Decimal128

from blackstart.recovery.mount.expressions import MISSING, expression
from blackstart.recovery.mount.sorting import MAX_SORT_BYTES
from blackstart.recovery.mount.source import Found
from blackstart.recovery.snapshots.order import Key, id_key
from blackstart.wire import CommandError
from blackstart.wire.documents import PLAIN

_NULL: Key = (1,)


class Group:
    """One `$group` stage. Raises: CommandError, when it is made, for one that is not taken."""

    def __init__(self, spec: Any) -> None:
        if not isinstance(spec, Mapping) or "_id" not in spec:
            raise CommandError("BadValue", "a group specification must include an _id")
        self._id = expression(spec["_id"])
        self._fields = {name: _made(name, value) for name, value in spec.items() if name != "_id"}

    async def run(self, documents: AsyncIterator[Found]) -> AsyncIterator[Found]:
        """Raises: CommandError when the groups take more memory than a sort may."""
        groups: dict[Key, tuple[Any, dict[str, _Accumulator]]] = {}
        held_bytes = 0
        async for found in documents:
            value = self._id(found.document)
            value = None if value is MISSING else value
            key = id_key(value)
            if key not in groups:
                groups[key] = value, {name: make() for name, make in self._fields.items()}
                held_bytes += _size(value)
            for accumulator in groups[key][1].values():
                held_bytes += accumulator.add(found.document)
            if held_bytes > MAX_SORT_BYTES:
                raise CommandError(
                    "QueryExceededMemoryLimitNoDiskUseAllowed",
                    f"$group exceeded memory limit of {MAX_SORT_BYTES} bytes",
                )
        for value, fields in groups.values():
            results = {name: accumulator.result() for name, accumulator in fields.items()}
            yield Found.made({"_id": value} | results)


class _Accumulator:
    """One field of a group, fed with one document after the other."""

    def __init__(self, spec: Any) -> None:
        self._expression = expression(spec)

    def add(self, document: Mapping[str, Any]) -> int:
        """Returns by how many bytes it has grown."""
        value = self._expression(document)
        return 0 if value is MISSING else self.take(value)

    def take(self, value: Any) -> int:
        raise NotImplementedError

    def result(self) -> Any:
        raise NotImplementedError


class _Sum(_Accumulator):
    """Adds numbers and passes over all else, as MongoDB does."""

    def __init__(self, spec: Any) -> None:
        super().__init__(spec)
        self._sum: Any = 0
        self.count = 0

    def take(self, value: Any) -> int:
        if isinstance(value, Decimal128):
            raise CommandError("NotImplemented", "decimals are not added up on a snapshot")
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            self._sum += value
            self.count += 1
        return 0

    def result(self) -> Any:
        return self._sum if -(2**63) <= self._sum < 2**63 else float(self._sum)


class _Average(_Sum):
    def result(self) -> Any:
        return float(self._sum) / self.count if self.count else None


class _Extreme(_Accumulator):
    """The smallest or the largest value in BSON's order; null does not count."""

    def __init__(self, spec: Any, *, largest: bool) -> None:
        super().__init__(spec)
        self._largest = largest
        self._best: tuple[Key, Any] | None = None

    def take(self, value: Any) -> int:
        key = id_key(value)
        if key == _NULL:
            return 0
        if self._best is None or (key > self._best[0] if self._largest else key < self._best[0]):
            self._best = key, value
        return 0

    def result(self) -> Any:
        return None if self._best is None else self._best[1]


class _First(_Accumulator):
    """The first document's value; null where it has none."""

    def __init__(self, spec: Any) -> None:
        super().__init__(spec)
        self._value: Any = MISSING

    def add(self, document: Mapping[str, Any]) -> int:
        if self._value is MISSING:
            self._value = _or_null(self._expression(document))
        return 0

    def result(self) -> Any:
        return _or_null(self._value)


class _Last(_First):
    def add(self, document: Mapping[str, Any]) -> int:
        self._value = self._expression(document)
        return 0


class _Push(_Accumulator):
    def __init__(self, spec: Any) -> None:
        super().__init__(spec)
        self._values: list[Any] = []

    def take(self, value: Any) -> int:
        self._values.append(value)
        return _size(value)

    def result(self) -> Any:
        return self._values


class _AddToSet(_Accumulator):
    def __init__(self, spec: Any) -> None:
        super().__init__(spec)
        self._values: dict[Key, Any] = {}

    def take(self, value: Any) -> int:
        key = id_key(value)
        if key in self._values:
            return 0
        self._values[key] = value
        return _size(value)

    def result(self) -> Any:
        return list(self._values.values())


_ACCUMULATORS: dict[str, Callable[[Any], _Accumulator]] = {
    "$sum": _Sum,
    "$avg": _Average,
    "$min": lambda spec: _Extreme(spec, largest=False),
    "$max": lambda spec: _Extreme(spec, largest=True),
    "$first": _First,
    "$last": _Last,
    "$push": _Push,
    "$addToSet": _AddToSet,
    "$count": lambda spec: _Sum(1),
}


def _made(name: str, spec: Any) -> Callable[[], _Accumulator]:
    if not isinstance(spec, Mapping) or len(spec) != 1 or "." in name:
        raise CommandError("BadValue", f"The field {name!r} must be an accumulator object")
    ((operator, argument),) = spec.items()
    make = _ACCUMULATORS.get(operator)
    if make is None:
        raise CommandError("NotImplemented", f"{operator} is not computed on a snapshot")
    expression(argument)
    return lambda: make(argument)


def _size(value: Any) -> int:
    return len(bson.encode({"": value}, codec_options=PLAIN))


def _or_null(value: Any) -> Any:
    return None if value is MISSING else value
