"""Plan quotas: who may use how many bytes of a tier, and who has to leave when it is full."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic

from blackstart.cdn.storage.eviction import Item, Sieve
from blackstart.errors import UsageError

MEBIBYTE = 1024 * 1024
DEFAULT_PLAN = "free"
DEFAULT_QUOTAS: dict[str, int] = {
    "free": 64 * MEBIBYTE,
    "pro": 128 * MEBIBYTE,
    "global": 256 * MEBIBYTE,
    "enterprise": 1024 * MEBIBYTE,
}


class PlanQuotas(Generic[Item]):
    """Bytes reserved per plan; an item only ever makes room for one of its own plan.

    So a free site, however busy, never pushes an enterprise site's page out.
    One item takes at most `largest_share` of its plan's quota, so that a large
    file does not sweep the plan's space.
    Raises: UsageError when the plan that unknown ones fall back to is missing.
    """

    def __init__(self, quotas: Mapping[str, int], *, largest_share: float = 1.0) -> None:
        if DEFAULT_PLAN not in quotas:
            raise UsageError(f"the plan quotas lack {DEFAULT_PLAN!r}, where unknown plans go")
        self.quotas = dict(quotas)
        self._names = {plan: plan for plan in quotas}
        self._largest = {plan: int(size * largest_share) for plan, size in quotas.items()}
        self._shelves: dict[str, Sieve[Item]] = {plan: Sieve() for plan in quotas}
        self._used = dict.fromkeys(quotas, 0)

    def plan(self, name: str | None) -> str:
        """The plan that counts for this name: itself, or the default when unknown."""
        return self._names.get(name or DEFAULT_PLAN, DEFAULT_PLAN)

    def used_bytes(self, plan: str) -> int:
        """Bytes taken by one plan."""
        return self._used[plan]

    def largest(self, plan: str) -> int:
        """The most bytes that one item of this plan may take."""
        return self._largest[plan]

    def add(self, item: Item, plan: str, cost: int) -> None:
        """Count an item; `evict` tells who has to leave for it."""
        self._shelves[plan].add(item)
        self._used[plan] += cost

    def remove(self, item: Item, plan: str, cost: int) -> None:
        """Count an item no more."""
        self._shelves[plan].remove(item)
        self._used[plan] -= cost

    def recount(self, plan: str, before: int, after: int) -> None:
        """An item that is in changed what it costs."""
        self._used[plan] += after - before

    def victim(self, plan: str, cost: int) -> Item | None:
        """Who has to leave before `cost` more bytes fit; None when they fit."""
        if self._used[plan] + cost <= self.quotas[plan]:
            return None
        return self._shelves[plan].victim()
