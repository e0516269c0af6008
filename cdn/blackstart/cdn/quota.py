"""Plan quotas: who may use how many bytes of a cache tier, and who has to leave when it is full."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from blackstart.errors import UsageError

MEBIBYTE = 1024 * 1024
DEFAULT_PLAN = "free"
DEFAULT_QUOTAS: dict[str, int] = {
    "free": 64 * MEBIBYTE,
    "pro": 128 * MEBIBYTE,
    "global": 256 * MEBIBYTE,
    "enterprise": 1024 * MEBIBYTE,
}


class PlanQuotas:
    """Bytes reserved per plan, least recently used first out within one plan only.

    So a free site, however busy, never pushes an enterprise site's page out.
    Raises: UsageError when the plan that unknown ones fall back to is missing.
    """

    def __init__(self, quotas: Mapping[str, int]) -> None:
        if DEFAULT_PLAN not in quotas:
            raise UsageError(f"the plan quotas lack {DEFAULT_PLAN!r}, where unknown plans go")
        self.quotas = dict(quotas)
        self._shelves: dict[str, OrderedDict[str, int]] = {plan: OrderedDict() for plan in quotas}
        self._used = dict.fromkeys(quotas, 0)
        self._plan_by_key: dict[str, str] = {}

    def plan(self, name: str | None) -> str:
        """The plan that counts for this name: itself, or the default when unknown."""
        return name if name in self.quotas else DEFAULT_PLAN

    def used_bytes(self, plan: str) -> int:
        """Bytes taken by one plan."""
        return self._used[plan]

    def fits(self, plan: str, size: int) -> bool:
        """Whether an entry of this size can be admitted at all."""
        return size <= self.quotas[self.plan(plan)]

    def put(self, key: str, plan: str, size: int) -> list[str]:
        """Admit an entry that fits; returns the keys that had to leave, oldest first."""
        plan = self.plan(plan)
        assert size <= self.quotas[plan], "ask fits() first"
        self.remove(key)
        shelf = self._shelves[plan]
        evicted = []
        while self._used[plan] + size > self.quotas[plan]:
            oldest = next(iter(shelf))
            self.remove(oldest)
            evicted.append(oldest)
        shelf[key] = size
        self._used[plan] += size
        self._plan_by_key[key] = plan
        return evicted

    def touch(self, key: str) -> None:
        """Note that an entry was used."""
        plan = self._plan_by_key.get(key)
        if plan is not None:
            self._shelves[plan].move_to_end(key)

    def remove(self, key: str) -> None:
        """Take an entry out, if it is in."""
        plan = self._plan_by_key.pop(key, None)
        if plan is not None:
            self._used[plan] -= self._shelves[plan].pop(key)
