"""Reading a collection by a filter: what is asked of the snapshot, in which order, how much."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

from blackstart.recovery.mount.budget import Budget
from blackstart.recovery.mount.filters import Filter
from blackstart.recovery.mount.needles import Needles
from blackstart.recovery.mount.ranges import Span, span_of
from blackstart.recovery.mount.sorting import Sort
from blackstart.recovery.mount.source import Found, Source
from blackstart.recovery.snapshots.order import id_key


class Query:
    """A filter with sort, skip and limit, as `find` and the front of a pipeline have them.

    Raises: CommandError, when it is made, for what MongoDB refuses or is not done here.
    """

    def __init__(
        self,
        spec: Mapping[str, Any],
        *,
        sort: Mapping[str, Any] | None = None,
        skip: int = 0,
        limit: int = 0,
    ) -> None:
        self._filter = Filter(spec)
        self._matches_all = not spec
        self._needles = Needles(spec)
        self._sort = Sort(sort or {})
        self._skip = skip
        self._limit = limit
        self.span: Span = span_of(spec)

    @property
    def counts_all(self) -> bool:
        """Whether all documents of the collection match."""
        return self._matches_all

    async def run(
        self, source: Source, collection: str, budget: Budget
    ) -> AsyncGenerator[Found, None]:
        """The documents, in order. A collection that is not there has none."""
        if collection not in source.collections():
            return
        found = self._matching(source, collection, budget)
        until = self._skip + self._limit if self._limit else None
        if self._sort.needs_no_work(in_order_of_ids=source.is_ordered(collection)):
            numbers = itertools.count()
            async for each in found:
                number = next(numbers)
                if number >= self._skip:
                    yield each
                if until is not None and number + 1 >= until:
                    return
        else:
            in_order = (
                await self._sort.all(found)
                if until is None
                else await self._sort.first(found, until)
            )
            for each in in_order[self._skip :]:
                yield each

    async def _matching(
        self, source: Source, collection: str, budget: Budget
    ) -> AsyncIterator[Found]:
        may_match, matches = self._needles.may_match, self._filter.matches
        async for raw in self._candidates(source, collection):
            if may_match(raw):
                found = Found(raw)
                if self._matches_all or matches(found.document):
                    yield found
            await budget.step()

    async def _candidates(self, source: Source, collection: str) -> AsyncIterator[bytes]:
        # Where `_id`s are in no order that we know, none of them is left out by it.
        span = self.span if source.is_ordered(collection) else Span()
        if span.points is not None:
            for point in span.points:
                document = await source.get(collection, point)
                if document is not None:
                    yield bytes(document.raw)
            return
        async for document in source.scan(collection, start=span.start):
            if span.last is not None and span.ends_before(id_key(document["_id"])):
                return
            yield bytes(document.raw)
